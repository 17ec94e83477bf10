"""What `borrow doctor` looks at: each check is a function from facts to findings. Pure.

Collecting the facts (files, sockets, the approver) is `doctor`'s; nothing here reads anything.
"""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from borrow.cli.client import NOT_RUNNING
from borrow.cli.environment import CREDENTIAL_VARIABLES, LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from borrow.protocol.errors import BorrowError

Level = Literal["ok", "warning", "error"]
SKEW: Final = 60.0  # seconds; past it approver and device refuse each other's signatures
LEAST_ROOM: Final = 1 << 20  # bytes
STALE: Final = 120.0  # seconds without contact while something waits or is lent
_PROXIES: Final = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_WAYS: Final = (
    "aws_access_key_id",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "role_arn",
    "web_identity_token_file",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is a short name for scripts; `told` and `hint` are for people."""

    level: Level
    what: str
    told: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        told = {"level": self.level, "what": self.what, "message": self.told}
        return told | ({"hint": self.hint} if self.hint else {})


def private(path: Path, seen: os.stat_result, uid: int) -> Iterator[Finding]:
    """A file of the state directory that others may read, or that is none of ours."""
    mode = stat.S_IMODE(seen.st_mode)
    quoted = shlex.quote(str(path))
    if not stat.S_ISREG(seen.st_mode):
        yield Finding(
            "error",
            "modes",
            f"{path} is a link or no regular file",
            f"move it away: ls -l {quoted}",
        )
    elif seen.st_uid != uid:
        yield Finding(
            "error",
            "modes",
            f"{path} belongs to uid {seen.st_uid}, not to you (uid {uid})",
            "move it away",
        )
    elif mode & 0o077:
        yield Finding(
            "error", "modes", f"{path} is open to others (mode {mode:04o})", f"chmod 600 {quoted}"
        )


def room(path: Path, seen: os.statvfs_result, *, root: bool) -> Iterator[Finding]:
    """Where each decision is written before it takes effect, a full disk stops everything."""
    blocks = seen.f_bfree if root else seen.f_bavail
    if seen.f_flag & os.ST_RDONLY:
        told = f"{path} is read-only: nothing can be recorded, so nothing is lent"
        hint = "set BORROW_STATE_DIR to a folder that can be written to"
        yield Finding("error", "room", told, hint)
        return
    if blocks * seen.f_frsize < LEAST_ROOM:
        told = (
            f"there is no room left where {path} lies: nothing can be recorded, so nothing is lent"
        )
    elif seen.f_files and not (seen.f_ffree if root else seen.f_favail):
        told = f"no more files can be made where {path} lies: nothing is lent"
    else:
        return
    yield Finding("error", "room", told, f"make room: df -h {shlex.quote(str(path))}")


def environment(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that would win over Borrow in a program started without `borrow run`."""
    present = [name for name in CREDENTIAL_VARIABLES if variables.get(name)]
    if present:
        yield Finding(
            "warning",
            "env_wins",
            f"{', '.join(present)} would win over Borrow outside `borrow run`",
            f"unset {' '.join(present)}",
        )
    proxies = [name for name in _PROXIES if variables.get(name)]
    direct = (variables.get("no_proxy") or variables.get("NO_PROXY") or "").split(",")
    if proxies and not {"*", LOOPBACK} & {host.strip() for host in direct}:
        yield Finding(
            "warning",
            "proxy",
            f"{proxies[0]} is set and NO_PROXY lacks {LOOPBACK}: some SDKs ask the proxy",
            f"export NO_PROXY={LOOPBACK} (borrow run does it by itself)",
        )
    if variables.get("BORROW_ROLE"):
        yield Finding("ok", "inside", f"this shell borrows {variables['BORROW_ROLE']}")


def aws_files(
    default_keys: frozenset[str], *, region: bool, variables: Mapping[str, str]
) -> Iterator[Finding]:
    """`default_keys`: keys of `[default]` in the user's two AWS files."""
    ways = [key for key in _WAYS if key in default_keys]
    if ways:
        yield Finding(
            "warning",
            "default_profile",
            f"[default] in ~/.aws has {ways[0]}, which wins outside `borrow run`",
            "give that profile a name, or use `borrow run` (it leaves the key out)",
        )
    if not region and not (variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION")):
        yield Finding(
            "warning",
            "no_region",
            "no region is set, and most AWS calls need one",
            "aws configure set region REGION, or region = … for the role in the policy",
        )


def daemon(status: Mapping[str, Any] | None, why: BorrowError | None) -> Iterator[Finding]:
    """`status` as the control socket told it, None with `why` it did not."""
    if why is not None and why.state == NOT_RUNNING:
        yield Finding("ok", "daemon", "the daemon does not run; any command starts it")
    elif why is not None:
        yield Finding("error", "daemon", why.message, why.hint or "borrow daemon logs")
    if status is None:
        return
    yield Finding("ok", "daemon", f"the daemon runs as pid {status.get('pid')}")
    age = status.get("contact_age")
    busy = bool(status.get("grants") or status.get("asks"))
    if busy and isinstance(age, int | float) and age > STALE:
        yield Finding(
            "warning",
            "contact",
            f"no contact with the approver for {age:.0f} s",
            "check the network",
        )


def endpoint(listed: int | None, ours: int | None, port: int) -> Iterator[Finding]:
    """Whether the process on our port is the daemon that answered on our socket (A35).

    `listed` is the pid the system names for the port, `ours` the daemon's own word.
    """
    if not port:
        return
    if listed is None:
        yield Finding("warning", "port", f"this system does not say who listens on port {port}")
    elif listed == ours:
        yield Finding("ok", "port", f"port {port} is the daemon's")
    else:
        yield squatted(port, f"pid {listed}")


def squatted(port: int, who: str) -> Finding:
    return Finding(
        "error",
        "port",
        f"port {port} is served by {who}, which is not the daemon",
        "end that process: programs send it their tokens",
    )


def channels(unreachable: object) -> Iterator[Finding]:
    """`unreachable`: those whom the policy makes answer, and whom nothing tells of it."""
    people = unreachable if isinstance(unreachable, list) else []
    for person in people:
        yield Finding(
            "warning",
            "unreachable",
            f"{person} has to answer requests and has no way to hear of them",
            "they switch on notifications on the server's pages, or `[channels]` in server.toml",
        )


def approver(skew: float | None, why: str) -> Iterator[Finding]:
    """`skew`: its clock minus ours in seconds; None with `why` it did not answer."""
    if skew is None:
        yield Finding("error", "approver", why, "check the network and its address")
    elif abs(skew) > SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        yield Finding(
            "error",
            "clock_skew",
            f"the approver's clock is {abs(skew):.0f} s {ahead} ours",
            "set the clock: signatures are refused past 60 s",
        )
    else:
        yield Finding("ok", "approver", "the approver answers, and the clocks agree")
