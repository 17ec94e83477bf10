"""Who a sidecar must be inside of its container, so that it is you outside: the socket is yours.

A rootful engine's numbers are the machine's; a rootless engine's root is the person who runs it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASK_WITHIN: Final = 5.0  # seconds for `docker info`
ROOT: Final = "0:0"
_PODMAN: Final = "podman"
_OPTIONS: Final = ("-H", "--host", "-c", "--context", "--config")


def user(command: Sequence[str], environment: Mapping[str, str], uid: int, gid: int) -> str:
    """`UID:GID`, for the engine that `command` most likely speaks to. Asks it, if that matters."""
    return ROOT if uid and _is_rootless(command, environment, uid) else f"{uid}:{gid}"


def _is_rootless(command: Sequence[str], environment: Mapping[str, str], uid: int) -> bool:
    program = Path(command[0]).name
    if any(_PODMAN in word for word in (program, *command[1:])):
        return True  # it has no daemon: who is not root runs it without root
    if environment.get("DOCKER_HOST", "").startswith(f"unix:///run/user/{uid}/"):
        return True
    docker = [command[0], *_where(command[1:])] if program == "docker" else ["docker"]
    words = [*docker, "info", "--format", "{{json .SecurityOptions}}"]
    return "name=rootless" in printed(words, environment, within=ASK_WITHIN)


def _where(words: Sequence[str]) -> list[str]:
    """The options that choose another engine; they stand in front of everything."""
    taken: list[str] = []
    while words[:1] and words[0].partition("=")[0] in _OPTIONS:
        length = 1 if "=" in words[0] else 2
        taken += words[:length]
        words = words[length:]
    return taken


def printed(words: Sequence[str], environment: Mapping[str, str], *, within: float) -> str:
    """What an engine's client prints, "" if it fails or takes longer than `within` seconds."""
    try:
        done = subprocess.run(  # noqa: S603  the command that the person is about to run, or docker
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=within,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
