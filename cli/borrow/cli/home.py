"""Where this user's Borrow lives: the state directory, its files, and the daemon's socket.

Opening checks that the places are private (`borrow.daemon.places`) and changes nothing. Which
process belongs there stands in `config.json`, written by `borrow setup` or `borrow join`.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from borrow.daemon.places import (
    StateDir,
    default_state_dir,
    read_private,
    runtime_dir,
    socket_path,
)
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG: Final = "config.json"
POLICY: Final = "policy.toml"
CLOUD: Final = "cloud.toml"
LOG: Final = "daemon.log"
LAST_WORDS: Final = "daemon.err"
LOCKS: Final = ("daemon.lock", "approver.lock")  # of the daemon, and of solo mode's approver
SET_UP = "`borrow setup` for yourself, or `borrow join URL` for a team"

Mode = Literal["solo", "team"]


class Home(NamedTuple):
    """A checked state directory. `runtime` is the private folder of sockets and copies."""

    state: StateDir
    runtime: Path

    @property
    def socket(self) -> Path:
        return socket_path(self.runtime)

    @property
    def approver_socket(self) -> Path:
        return socket_path(self.runtime, "approver.sock")

    @property
    def policy(self) -> Path:
        return self.state / POLICY

    @property
    def cloud(self) -> Path:
        return self.state / CLOUD

    @property
    def log(self) -> Path:
        return self.state / LOG

    @property
    def last_words(self) -> Path:
        """What the daemon's process printed since its start: why it ended, as a rule."""
        return self.state / LAST_WORDS

    @property
    def is_set_up(self) -> bool:
        return (self.state / CONFIG).exists()

    def config(self) -> dict[str, object]:
        """What `config.json` says. Raises Misconfigured if there is none, or it is no config."""
        path = self.state / CONFIG
        data = read_private(path)
        if data is None:
            raise Misconfigured("borrow is not set up here", hint=SET_UP, state="not_set_up")
        try:
            config = json.loads(data)
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise Misconfigured(f"{path} is not JSON", hint="move it away, then set up again")
        return config

    def mode(self) -> Mode:
        mode = self.config().get("mode")
        if mode == "solo":
            return "solo"
        if mode == "team":
            return "team"
        raise Misconfigured(f"{self.state / CONFIG} has no known mode", hint="allowed: solo, team")


def is_there(path: Path) -> bool:
    """Whether something is at `path`. Where that cannot be told, yes: using it says why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def default_path(environment: Mapping[str, str]) -> Path:
    return default_state_dir(environment, Path.home())


def open_home(environment: Mapping[str, str] = os.environ, *, create: bool = False) -> Home:
    """The user's Home. Without `create`, a missing one is Misconfigured and stays missing."""
    path = default_path(environment)
    if not create and not is_there(path):
        raise Misconfigured("borrow is not set up here", hint=SET_UP, state="not_set_up")
    state = StateDir.open(path, create=create)
    return Home(state, _runtime(state.path, environment))


def _runtime(state: Path, environment: Mapping[str, str]) -> Path:
    """The folder of sockets: where a running daemon has it, else where a new one will.

    $XDG_RUNTIME_DIR is set in one login and missing in the next (ssh, cron), and both are to find
    the same daemon.
    """
    usual = runtime_dir(state, environment)
    if socket_path(usual).exists() or not is_held(state):
        return usual
    for base in (f"/run/user/{os.getuid()}", ""):
        other = runtime_dir(state, {"XDG_RUNTIME_DIR": base})
        if socket_path(other).exists():
            return other
    return usual


def is_held(state: Path) -> bool:
    """Whether a daemon, or the approver of solo mode, has its lock in `state`."""
    for name in LOCKS:
        try:
            handle = os.open(state / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
    return False
