"""The environment of a borrowed command: what is taken out, what is put in. Pure.

Taken out is everything that would win over the container endpoint in some SDK (SDKS.md "Pointing
clients at us"); put in is the address and bearer of this role for this terminal session. A program
that looks anywhere else for cloud power finds nothing.
"""

from __future__ import annotations

import re
import shlex
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


class Lease:
    """What the daemon gave this terminal session to fetch `role` with.

    A plain class, as is `Change`: to import `dataclasses` takes a tenth of a `borrow run`, and a
    tuple would show the bearer.
    """

    __slots__ = ("bearer", "monitor", "needs", "region", "role", "roles", "url")

    def __init__(
        self,
        role: str,
        url: str,
        bearer: str,
        region: str = "",
        roles: tuple[tuple[str, str], ...] = (),
        needs: Mapping[str, str] | None = None,
        monitor: Mapping[str, str] | None = None,
    ) -> None:
        self.role = role
        self.url = url
        self.bearer = bearer
        self.region = region  # of the role; "" = the caller's own
        self.roles = roles  # (name, ARN) of what may be borrowed, if asked for
        self.needs = needs or {}  # what has to be said first
        self.monitor = monitor or {}  # only for `borrow run`


class Change:
    """How an environment becomes a borrowed one."""

    __slots__ = ("drop", "put")

    def __init__(self, put: dict[str, str], drop: tuple[str, ...]) -> None:
        self.put = put
        self.drop = drop

    def apply(self, environment: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in environment.items() if name not in self.drop}
        return kept | self.put


def borrowed(
    environment: Mapping[str, str],
    lease: Lease,
    *,
    config_file: str,
    credentials_file: str,
    regions: Mapping[str, str],
    agent: str = "",
) -> Change:
    """The change for `lease`. The two files are Borrow's own, without any credential key.

    `regions` are the variables of `borrow.cli.regions`; `agent` is told to what the command starts.
    """
    put = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": lease.url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": lease.bearer,
        "AWS_CONFIG_FILE": config_file,
        "AWS_SHARED_CREDENTIALS_FILE": credentials_file,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_METADATA_SERVICE_TIMEOUT": PHP_TIMEOUT,
        "AWS_SDK_LOAD_CONFIG": "1",  # JS v2 and Go v1 read no config file without it
        "BORROW_ROLE": lease.role,
    }
    put |= no_proxy(environment) | dict(regions) | dict(lease.monitor)
    put |= {"AI_AGENT": agent} if agent else {}
    return Change(put, CREDENTIAL_VARIABLES + COMPANIONS + MONITORING + _tokens(environment))


def _tokens(environment: Mapping[str, str]) -> tuple[str, ...]:
    """One service's own bearer token (`AWS_BEARER_TOKEN_BEDROCK`) wins over any credentials.

    A name that no shell takes cannot be unset by one, and no SDK looks for it.
    """
    found = (name for name in environment if name.startswith("AWS_BEARER_TOKEN_"))
    return tuple(sorted(name for name in found if name.isascii() and name.isidentifier()))


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Both spellings with loopback in them: each tool reads another one of the two first."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in (LOOPBACK, "localhost") if host not in hosts]
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
            return f"export {name}={quoted(value, shell)}"
        case "fish":
            return f"set -gx {name} {quoted(value, shell)}"
        case "pwsh":
            return f"$Env:{name} = {quoted(value, shell)}"


def quoted(value: str, shell: Shell) -> str:
    """`value`, which has no line break, as one word of `shell`."""
    match shell:
        case "bash" | "zsh":
            return shlex.quote(value)
        case "fish":
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        case "pwsh":
            return f"'{_PWSH_QUOTES.sub(_twice, value)}'"
