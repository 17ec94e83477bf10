"""Starting the daemon, for any command that needs it, and stopping it.

The daemon is a process of its own, detached from the terminal, with a log of its own. Two commands
that start it at the same moment make one daemon: a lock file is held meanwhile. If it does not
stay, its own error becomes the command's. One that is killed comes back (`revival`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING, Final

from borrow.cli.client import ANSWER_WITHIN, Control
from borrow.cli.home import is_held
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from borrow.cli.home import Home

START_WITHIN: Final = 20.0  # seconds, on a slow and busy machine
STOP_WITHIN: Final = 10.0  # seconds
_ERROR, _HINT = "borrow: error: ", "borrow: hint: "


def control(home: Home, *, within: float = ANSWER_WITHIN) -> Control:
    """The client of the daemon, whether it runs or not; a look at it may take `within` seconds."""
    return Control(home.socket, uid=os.getuid(), within=within)


def running(home: Home) -> Control:
    """The client of the daemon, started if it did not run."""
    client = control(home)
    if not client.is_up():
        start(home)
    return client


def command(home: Home) -> list[str]:
    """The process that belongs to this home."""
    module = "borrow.cli.solo" if home.mode() == "solo" else "borrow.daemon"
    return [sys.executable, "-P", "-m", module]


def start(home: Home) -> bool:
    """Start it and wait until it answers; False if it ran already. Raises what kept it from it."""
    argv = command(home)
    with _one_at_a_time(home):
        if control(home).is_up():
            return False
        process = _spawn(argv, home)
        _wait(home, process)
        process.returncode = 0  # it outlives us, and Python is not to warn of that
    _show_tray(home)
    return True


def _show_tray(home: Home) -> None:
    """Where a desktop is: most machines that start a daemon have none, and pay nothing here."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        from borrow.cli.traying import start_beside

        start_beside(home, _environment(home))


def _spawn(argv: list[str], home: Home) -> subprocess.Popen[bytes]:
    """The process. What it prints goes to a file of its own, begun anew."""
    import subprocess  # late: most commands start nothing

    from borrow.cli.revival import lifeline

    environment = _environment(home)
    handle = _opened(home.last_words, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK)
    with os.fdopen(handle, "wb") as printed, lifeline(home.socket, environment) as line:
        return subprocess.Popen(  # noqa: S603  our own interpreter and module
            argv,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            cwd="/",
            env=environment,
            start_new_session=True,
            pass_fds=line,
        )


def _opened(path: Path, flags: int) -> int:
    """A file of ours that is made if it is missing; a link or a pipe in its place is refused."""
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise Misconfigured(
            f"cannot write {path}: {(exc.strerror or 'failed').lower()}",
            hint="`borrow doctor` looks for the cause"
            if exc.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT)
            else "move it away, if it is no plain file of yours",
        ) from exc


def _environment(home: Home) -> dict[str, str]:
    """Ours, without what belongs to the calling terminal: the daemon outlives it."""
    from borrow.cli.environment import COMPANIONS, CREDENTIAL_VARIABLES
    from borrow.cli.revival import COUNT as REVIVED

    dropped = {*CREDENTIAL_VARIABLES, *COMPANIONS, "AWS_CONTAINER_AUTHORIZATION_TOKEN"}
    dropped |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "BORROW_ROLE", "BORROW_REASON", REVIVED}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not _is_python_setting(name, value)
    }
    return kept | {"BORROW_STATE_DIR": str(home.state.path)}


def _is_python_setting(name: str, value: str) -> bool:
    """Of the project in whose shell the daemon was started: no code of it comes along.

    PYTHONPATH stays where borrow itself is found by it.
    """
    if name != "PYTHONPATH":
        return name.startswith("PYTHON") and name != "PYTHONHOME"
    places = [os.path.realpath(entry) for entry in value.split(os.pathsep) if entry]
    return not any(os.path.realpath(__file__).startswith(f"{place}{os.sep}") for place in places)


def _wait(home: Home, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_WITHIN
    pause = 0.01
    while time.monotonic() < until:
        if _answers(home):
            return
        if process.poll() is not None:
            raise _told_in(home.last_words, process.returncode)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    process.terminate()
    raise Unavailable(
        f"the daemon did not start within {START_WITHIN:.0f} s", hint="borrow daemon logs"
    )


def _answers(home: Home) -> bool:
    """It serves, and does not merely listen."""
    try:
        control(home).call("GET", "/v1/status", within=2.0)
    except Unavailable:
        return False
    return True


def _told_in(printed: Path, code: int) -> BorrowError:
    """The error that the process printed before it ended."""
    with printed.open("rb") as file:
        lines = file.read(1 << 16).decode("utf-8", "replace").splitlines()
    said = [text.removeprefix(_ERROR) for text in lines if text.startswith(_ERROR)]
    hints = [text.removeprefix(_HINT) for text in lines if text.startswith(_HINT)]
    if not said:
        import shlex

        return Unavailable(
            f"the daemon ended with status {code}",
            hint=f"what it printed: cat {shlex.quote(str(printed))}",
        )
    return Misconfigured(said[-1], hint=hints[-1] if hints else "borrow daemon logs")


def stop(home: Home) -> bool:
    """Ask it to end and wait until it has; False if it did not run."""
    client = control(home)
    if not client.is_up():
        return False
    client.post("/v1/stop")
    until = time.monotonic() + STOP_WITHIN
    while client.is_up() or is_held(home.state.path):  # it holds its locks until all is closed
        if time.monotonic() > until:
            raise Unavailable(
                f"the daemon did not end within {STOP_WITHIN:.0f} s", hint="borrow daemon logs"
            )
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    handle = _opened(home.runtime / "start.lock", os.O_RDWR)
    until = time.monotonic() + START_WITHIN
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Unavailable(
                        "another command has been starting the daemon for too long",
                        hint="borrow daemon logs",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
