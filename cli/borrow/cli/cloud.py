"""Which cloud driver the minter uses: `cloud.toml` (solo), or `[cloud]` in `server.toml`.

driver = "assume-role"       fake | assume-role | web-identity
region = "eu-central-1"      where STS is asked
endpoint_url = "…"           only for stand-ins and private clouds
issuer = "https://…"         web-identity: B's public address (also `issuer_b`)
audience = "…"               web-identity: default sts.amazonaws.com
signin_url = "…"             `borrow console`: default by the role's partition
console_url = "…"            `borrow console`: default by the role's partition
"""

from __future__ import annotations

import secrets
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from joserfc.jwk import ECKey

    from borrow.minter.basekeys import KeySource
    from borrow.minter.drivers.base import Driver

DRIVERS: Final = ("fake", "assume-role", "web-identity")
DEFAULT_REGION: Final = "us-east-1"  # every account has STS there
_KEYS: Final = (
    "driver",
    "region",
    "endpoint_url",
    "issuer",
    "issuer_b",
    "audience",
    "signin_url",
    "console_url",
)


@dataclass(frozen=True, slots=True)
class CloudSettings:
    driver: str = "assume-role"
    region: str = DEFAULT_REGION
    endpoint_url: str | None = None
    issuer: str = ""
    audience: str = ""
    signin_url: str = ""
    console_url: str = ""


def parse_cloud(table: Mapping[str, Any], source: str) -> CloudSettings:
    """Unknown keys, other types and unknown drivers are Misconfigured, naming `source`."""
    for key, value in table.items():
        if key not in _KEYS:
            raise Misconfigured(
                f"{source}: unknown key {key[:40]!r}", hint=f"allowed: {', '.join(_KEYS)}"
            )
        if not isinstance(value, str):
            raise Misconfigured(f"{source}: {key} is not text", hint=f'write {key} = "…"')
    settings = CloudSettings(
        driver=table.get("driver", "assume-role"),
        region=table.get("region") or DEFAULT_REGION,
        endpoint_url=table.get("endpoint_url") or None,
        issuer=table.get("issuer") or table.get("issuer_b") or "",
        audience=table.get("audience", ""),
        signin_url=table.get("signin_url", ""),
        console_url=table.get("console_url", ""),
    )
    if settings.driver not in DRIVERS:
        raise Misconfigured(
            f"{source}: driver {settings.driver[:40]!r} is not known",
            hint=f"allowed: {', '.join(DRIVERS)}",
        )
    if settings.driver == "web-identity" and not settings.issuer:
        raise Misconfigured(
            f"{source}: driver web-identity lacks issuer",
            hint="set the https address that the account's identity provider names",
        )
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """The tables in `path`, {} if there is no such file."""
    from borrow.daemon.places import read_private

    data = read_private(path)
    if data is None:
        return {}
    try:
        return tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        why = str(exc).splitlines()[0] if isinstance(exc, tomllib.TOMLDecodeError) else "not text"
        raise Misconfigured(
            f"{path.name}: not valid TOML: {why[:1].lower()}{why[1:120]}",
            hint="https://toml.io shows the notation",
        ) from exc


def make_driver(
    settings: CloudSettings, *, keys: KeySource, issuer_key: ECKey, clock: Callable[[], float]
) -> Driver:
    match settings.driver:
        case "fake":
            from borrow.minter.drivers.fake import FakeDriver

            return FakeDriver(clock, secrets.token_bytes)
        case "web-identity":
            from borrow.minter.drivers.web_identity import AUDIENCE, WebIdentityDriver

            return WebIdentityDriver(
                settings.issuer,
                issuer_key,
                settings.audience or AUDIENCE,
                endpoint_url=settings.endpoint_url,
                region=settings.region,
                clock=clock,
                entropy=secrets.token_bytes,
            )
        case _:
            from borrow.minter.drivers.assume_role import AssumeRoleDriver

            return AssumeRoleDriver(keys, settings.endpoint_url, settings.region, clock)
