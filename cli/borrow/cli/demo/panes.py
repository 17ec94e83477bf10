"""The demo in two tmux panes: the workstation on the left, the other device on the right.

A private tmux server (own socket, no configuration of the user's) is started, shown, and ended.
The left pane runs `python -m borrow.cli.demo.panes ROOT ENDPOINT` and leaves its story in a file.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borrow.cli import say

if TYPE_CHECKING:
    from borrow.cli.demo.stage import World

STORY: Final = "story.json"
SOCKET: Final = "tmux.sock"
LINGER: Final = 3600.0  # seconds a finished pane stays to be read


def play(world: World) -> None:
    """Return when the panes are closed."""
    from borrow.cli.demo import other_device

    place = world.place
    left = [sys.executable, "-m", "borrow.cli.demo.panes", str(place.root), place.endpoint]
    tmux = ["tmux", "-S", str(place.root / SOCKET), "-f", "/dev/null"]
    env = place.env | {"TERM": os.environ.get("TERM", "xterm")}
    right = other_device.command(world)
    for words in (
        ["new-session", "-d", "-s", "demo", shlex.join(left)],
        ["set-option", "-g", "status", "off"],
        ["split-window", "-h", "-t", "demo", shlex.join(right)],
        ["attach-session", "-t", "demo"],
    ):
        subprocess.run([*tmux, *words], env=env, check=False)  # noqa: S603
    subprocess.run([*tmux, "kill-server"], env=env, check=False, capture_output=True)  # noqa: S603


def main(root: str, endpoint: str) -> int:
    """The left pane."""
    from borrow.cli.demo import walk
    from borrow.cli.demo.stage import Place
    from borrow.protocol.errors import BorrowError

    place = Place(Path(root), endpoint)
    story = walk.Story(time.monotonic())
    say.note("this pane is your workstation; the other one is your other device")
    try:
        walk.act(place, story, answer=None)
    except BorrowError as failed:
        story.step("the walk", ok=False, detail=failed.message)
    told = json.dumps({"steps": story.steps, "papers": story.papers})
    (place.root / STORY).write_text(told)
    say.note("that was it; press Enter in the other pane for the timeline and the record")
    time.sleep(LINGER)
    return 0


def close(root: Path) -> None:
    """End both panes, from inside one of them."""
    subprocess.run(  # noqa: S603
        ["tmux", "-S", str(root / SOCKET), "kill-server"],  # noqa: S607
        check=False,
        capture_output=True,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
