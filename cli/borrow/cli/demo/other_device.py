"""The other device of the demo: a phone with an authenticator app, played by a second terminal.

It waits for the question, shows what the app would show, and then runs the real `borrow approve`,
which asks for the number that the workstation shows and for the app's code.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import say
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from borrow.cli.demo.stage import World

SECRET: Final = "phone.secret"  # noqa: S105  a file's name, in the demo's private folder
WAIT: Final = 600.0  # seconds for the question to come
ENOUGH: Final = 8  # seconds a person needs to type what they read
INTERRUPTED: Final = 130  # exit status of `borrow approve` after Ctrl-C


def command(world: World) -> list[str]:
    """The command of the second terminal. The secret goes by a 0600 file, never by argv."""
    path = world.place.root / SECRET
    path.touch(mode=0o600)
    path.write_text(world.totp_secret)
    return [sys.executable, "-m", "borrow.cli.demo.other_device", str(world.place.root)]


def command_line(world: World) -> str:
    return shlex.join(command(world))


def main(root: Path) -> int:
    from borrow.cli.demo import stage

    env = stage.environment(root)
    secret = (root / SECRET).read_text()
    say.note("this pane is your other device: a phone with an authenticator app")
    say.note("it will ask you as soon as something needs you")
    ask = _question(root)
    if ask is None:
        say.note("nothing was asked")
        return 1
    while _is_open(root, ask["request"]):
        _show_code(secret)
        say.note(f"$ borrow approve {ask['request']}")
        done = subprocess.run(  # noqa: S603  our own command
            stage.command("approve", ask["request"]), env=env, check=False
        )
        if done.returncode in (0, INTERRUPTED):  # the daemon's own list may lag a moment
            break
    _finish(root)
    return 0


def _show_code(secret: str) -> None:
    from borrow.cli.demo import stage

    code, left = stage.code_now(secret)
    if left < ENOUGH:
        time.sleep(left + 0.2)
        code, left = stage.code_now(secret)
    say.note("")
    say.note(say.bold(f"your authenticator app shows {code} for {left} s more"))


def _finish(root: Path) -> None:
    """In tmux: wait for the other pane's end, then for Enter. Elsewhere there is nothing to do."""
    from borrow.cli.demo import panes

    if not (root / panes.SOCKET).exists():
        return
    say.note("watch the other pane")
    until = time.monotonic() + WAIT
    while not (root / panes.STORY).exists() and time.monotonic() < until:
        time.sleep(0.2)
    say.ask("press Enter for the timeline and the record", without="borrow demo --unattended")
    panes.close(root)


def _question(root: Path) -> dict[str, Any] | None:
    from borrow.cli.demo import stage

    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            asks = stage.control(root).get("/v1/status").get("asks", [])
        except BorrowError:
            asks = []
        # The first script's request is answered by the policy itself: nobody has to.
        found: list[dict[str, Any]] = [
            ask for ask in asks if ask.get("request") and ask["role"] == stage.ADMIN
        ]
        if found:
            return found[0]
        time.sleep(0.2)
    return None


def _is_open(root: Path, request: str) -> bool:
    from borrow.cli.demo import stage

    try:
        asks = stage.control(root).get("/v1/status").get("asks", [])
    except BorrowError:
        return False
    return any(ask.get("request") == request for ask in asks)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
