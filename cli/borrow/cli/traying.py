"""The tray's process: one for a state directory, started beside the daemon where a desktop is.

A lock file says whether it runs. It is started in no family: neither the terminal nor the program
that happened to need the daemon is its ancestor, so the windows it opens are the person's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borrow.protocol.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.cli.home import Home

SWITCH: Final = "BORROW_TRAY"  # "off": not started by itself
LOCK: Final = "tray.lock"
LAST_WORDS: Final = "tray.err"
LIBRARIES: Final = ("pystray", "PIL")
_NOTIFY: Final = {"darwin": "desktop_notifier", "win32": "desktop_notifier"}  # else dbus_fast
INSTALL: Final = "pip install 'borrow[tray]'"
_PLAIN: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a link or a pipe is no file of ours
AUTOSTART: Final = "borrow-tray.desktop"
STOP_WITHIN: Final = 5.0  # seconds


def why_not(environment: Mapping[str, str], platform: str = sys.platform) -> str:
    """Why no tray is started by itself here; "" if it is."""
    if environment.get(SWITCH) == "off":
        return f"{SWITCH}=off"
    if environment.get("SSH_CONNECTION"):
        return "this is an ssh session"  # a forwarded display's panel is on another machine
    if platform in _NOTIFY:  # its desktop is not told of in variables
        return lacking(platform)
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return "no display"
    if not _has_bus(environment):
        return "no D-Bus session"
    return lacking(platform)


def lacking(platform: str = sys.platform) -> str:
    from importlib.util import find_spec

    wanted = (*LIBRARIES, _NOTIFY.get(platform, "dbus_fast"))
    missing = [name for name in wanted if find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _has_bus(environment: Mapping[str, str]) -> bool:
    runtime = environment.get("XDG_RUNTIME_DIR")
    return bool(environment.get("DBUS_SESSION_BUS_ADDRESS")) or (
        runtime is not None and Path(runtime, "bus").is_socket()
    )


@contextlib.contextmanager
def held(home: Home) -> Iterator[bool]:
    """Be the one tray of `home`; False if another is. The lock goes with the process."""
    handle = _opened(home, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield True
    finally:
        os.close(handle)


def running(home: Home) -> int:
    """The process id of the tray of `home`, 0 if there is none that we could know of."""
    try:
        handle = _opened(home, os.O_RDONLY)
    except (FileNotFoundError, Misconfigured):
        return 0
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.read(handle, 16)  # of the process that has the lock now
        return int(number) if number.isdigit() else 0
    finally:
        os.close(handle)
    return 0


def _opened(home: Home, flags: int) -> int:
    path = home.state / LOCK
    try:
        return os.open(path, flags | _PLAIN, 0o600)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise Misconfigured(
            f"cannot open {path}: {(exc.strerror or 'failed').lower()}",
            hint="move it away, if it is no plain file of yours",
        ) from exc


def stop(home: Home) -> bool:
    """End it and wait until it has; False if it did not run."""
    pid = running(home)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_WITHIN
    while running(home) == pid:
        if time.monotonic() > until:
            raise Unavailable("the tray did not end", hint=f"kill -9 {pid}", state="tray")
        time.sleep(0.02)
    return True


def at_login(environment: Mapping[str, str], *, on: bool) -> Path:
    """Have the desktop start it at each login, or no more: its XDG autostart file, written whole.

    For people who are asked more often than they ask: the daemon that hears of it starts with it.
    """
    base = environment.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    path = folder / "autostart" / AUTOSTART
    try:
        if on:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(_entry(environment), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    except OSError as exc:
        raise Misconfigured(
            f"cannot write {path}: {(exc.strerror or 'failed').lower()}",
            hint="make it yours, or start `borrow tray` by your desktop's own settings",
        ) from exc
    return path


def _entry(environment: Mapping[str, str]) -> str:
    words = [sys.executable, "-P", "-m", "borrow.cli.main", "tray"]
    if state := environment.get("BORROW_STATE_DIR"):
        words = ["env", f"BORROW_STATE_DIR={state}", *words]
    # https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html: one
    # percent sign begins a field code, and these have to be escaped within double quotes.
    marks = str.maketrans({mark: f"\\\\{mark}" for mark in '"`$'} | {"\\": "\\" * 4, "%": "%%"})
    if any(not word.isprintable() for word in words):
        raise Misconfigured("a path of borrow has characters that an autostart file cannot hold")
    line = " ".join(f'"{word.translate(marks)}"' for word in words)
    return f"[Desktop Entry]\nType=Application\nName=Borrow\nExec={line}\nTerminal=false\n"


def start_beside(home: Home, environment: Mapping[str, str]) -> bool:
    """Start it for a daemon that has just started; whether that was tried.

    `environment` is the daemon's own. A failure is the tray's and never the daemon's: it stands in
    `tray.err`, and `borrow doctor` tells of it.
    """
    if why_not(environment) or running(home):
        return False
    import subprocess

    from borrow.daemon.caller import AGENT_FLAGS

    # An agent that needed the daemon is not who looks at the panel: none of its flags comes along.
    flags = {name for name, _ in AGENT_FLAGS}
    env = {name: value for name, value in environment.items() if name not in flags}
    command = [sys.executable, "-P", "-m", "borrow.cli.main", "tray"]
    path = home.state / LAST_WORDS
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | _PLAIN, 0o600)
        with os.fdopen(handle, "wb") as printed:
            # The shell ends at once, and its child is nobody's.
            subprocess.run(  # noqa: S603  our own interpreter and module
                ["/bin/sh", "-c", '"$@" &', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                cwd="/",
                env=env,
                start_new_session=True,
                check=False,
            )
    except OSError:
        return False
    return True
