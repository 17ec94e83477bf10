"""The environment of a borrowed command: what is taken out, what is put in. Pure.

Taken out is everything that would win over the container endpoint in some SDK (SDKS.md "Pointing
clients at us"); put in is the address and bearer of this role for this terminal session. A program
that looks anywhere else for cloud power finds nothing.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

Shell = Literal["bash", "zsh", "fish", "pwsh"]
SHELLS: Final[tuple[Shell, ...]] = ("bash", "zsh", "fish", "pwsh")

# Each of these beats AWS_CONTAINER_CREDENTIALS_FULL_URI in at least one SDK.
CREDENTIAL_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_PROFILE",
)
# Old spellings and companions of the same: harmless alone, surprising together.
COMPANIONS: Final = (
    "AWS_DEFAULT_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_ROLE_SESSION_NAME",
)
# Client-side monitoring: datagrams with a session token in them go to our daemon or nowhere.
MONITORING: Final = (
    "AWS_CSM_ENABLED",
    "AWS_CSM_HOST",
    "AWS_CSM_PORT",
    "AWS_CSM_CLIENT_ID",
)
LOOPBACK: Final = "127.0.0.1"
PHP_TIMEOUT: Final = "150"  # seconds; PHP gives the endpoint 1 s unless told (SDKS §9)


@dataclass(frozen=True, slots=True)
class Lease:
    """What the daemon gave this terminal session to fetch `role` with."""

    role: str
    url: str
    bearer: str = field(repr=False)
    region: str = ""  # of the role; '' = the caller's own
    monitor: Mapping[str, str] = field(default_factory=dict)  # only for `borrow run`


@dataclass(frozen=True, slots=True)
class Change:
    """How an environment becomes a borrowed one."""

    put: dict[str, str] = field(repr=False)
    drop: tuple[str, ...]

    def apply(self, environment: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in environment.items() if name not in self.drop}
        return kept | self.put


def borrowed(
    environment: Mapping[str, str],
    lease: Lease,
    *,
    config_file: str,
    credentials_file: str,
    has_region: bool = False,
) -> Change:
    """The change for `lease`. The two files are Borrow's own, without any credential key.

    `has_region`: the default profile names a region, which a variable would hide for all profiles.
    """
    put = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": lease.url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": lease.bearer,
        "AWS_CONFIG_FILE": config_file,
        "AWS_SHARED_CREDENTIALS_FILE": credentials_file,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_METADATA_SERVICE_TIMEOUT": PHP_TIMEOUT,
        "BORROW_ROLE": lease.role,
    }
    put |= no_proxy(environment)
    if lease.region and not has_region and not region_in(environment):
        put |= {"AWS_REGION": lease.region, "AWS_DEFAULT_REGION": lease.region}
    put |= dict(lease.monitor)
    return Change(put, CREDENTIAL_VARIABLES + COMPANIONS + MONITORING + _tokens(environment))


def _tokens(environment: Mapping[str, str]) -> tuple[str, ...]:
    """One service's own bearer token (`AWS_BEARER_TOKEN_BEDROCK`) wins over any credentials.

    A name that no shell takes cannot be unset by one, and no SDK looks for it.
    """
    found = (name for name in environment if name.startswith("AWS_BEARER_TOKEN_"))
    return tuple(sorted(name for name in found if name.isascii() and name.isidentifier()))


def region_in(environment: Mapping[str, str]) -> bool:
    return bool(environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"))


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Both spellings with loopback in them: each tool reads another one of the two first."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts and LOOPBACK not in hosts:
        hosts.append(LOOPBACK)
    joined = ",".join(hosts)
    return {"NO_PROXY": joined, "no_proxy": joined}


def script(change: Change, shell: Shell, environment: Mapping[str, str]) -> str:
    """Lines that make the change in a running shell; variables that are not set are left alone."""
    drop = [name for name in change.drop if name in environment]
    lines = [_unset(name, shell) for name in drop]
    lines += [_set(name, value, shell) for name, value in change.put.items()]
    return "\n".join(lines) + "\n"


def _unset(name: str, shell: Shell) -> str:
    match shell:
        case "bash" | "zsh":
            return f"unset {name}"
        case "fish":
            return f"set -e {name}"
        case "pwsh":
            return f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"


# PowerShell ends a quoted text at any of these, not at the plain one alone.
_PWSH_QUOTES: Final = re.compile("['\u2018\u2019\u201a\u201b]")


def _twice(found: re.Match[str]) -> str:
    return found[0] * 2


def _set(name: str, value: str, shell: Shell) -> str:
    if any(char in value for char in "\n\r\0"):
        raise Misconfigured(
            f"{name} holds a line break and cannot be put into a script",
            hint="use `borrow run ROLE -- COMMAND`",
        )
    match shell:
        case "bash" | "zsh":
            return f"export {name}={shlex.quote(value)}"
        case "fish":
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{quoted}'"
        case "pwsh":
            return f"$Env:{name} = '{_PWSH_QUOTES.sub(_twice, value)}'"
