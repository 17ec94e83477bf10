"""A person in front of `borrow prompt`: finds its buttons by their colour and its fields by place.

Also the workstation whose policy has a role for each way to say yes, one per test that needs its
own: what was denied or guessed is remembered, and one test must not tire the next.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyotp

import borrow.cli.say
import borrow.tray.form
from borrow.tray.paint import DARK, LIGHT
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.solo_mode import ME
from borrow_fakes.tools import need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from PIL.Image import Image

    from borrow_fakes.desk import Desk

Box = tuple[int, int, int, int]
SHOTS = Path(os.environ.get("BORROW_TEST_ARTEFACTS", "/nonexistent"))  # pictures to look at
# Where this very process has the rooms from: a copy without one of its guards is tested like this.
ROOMS = (borrow.cli.say.__file__, borrow.tray.form.__file__)
CHANGED = {"PYTHONPATH": os.pathsep.join(str(Path(each).parents[2]) for each in ROOMS)}
WAYS = {
    "click": 'approve = { mode = "self", factor = ["consent"] }',
    "match": 'approve = { mode = "self", factor = ["consent"], match = true }',
    "totp": 'approve = { mode = "self", factor = ["totp"], match = true }',
    "secret": 'approve = { mode = "self", factor = ["consent", "totp"] }',
    "ticketed": 'require = { reason = 10, ticket = "^INC-[0-9]+$" }\n'
    'approve = { mode = "self", factor = ["consent"] }',
}
EACH = 8  # roles of each way


def policy() -> str:
    """`click-0` … `ticketed-7`, each of at most four hours."""
    out = [f'version = 1\n[admins]\npeople = ["{ME}"]']
    for way, how in WAYS.items():
        names = [f"{way}-{number}" for number in range(EACH)]
        out += [
            f'[roles.{name}]\naws = "arn:aws:iam::111122223333:role/Admin"\n'
            f'tier = "{"sensitive" if way == "secret" else "normal"}"'
            for name in names
        ]
        quoted = ", ".join(f'"{name}"' for name in names)
        out.append(f'[[rule]]\nid = "{way}"\nwho = ["{ME}"]\nroles = [{quoted}]\nmax = "4h"\n{how}')
    return "\n".join(out) + "\n"


def ask(one: Home, role: str, *options: str) -> dict[str, Any]:
    """The open question of `borrow ask ROLE`, asked in a terminal session of its own."""
    child = one.spawn(BORROW, "ask", role, *options, session=True)
    code, _, err = finish(child)
    assert code == 0, err
    return one.pending(role)


def enrol_app(one: Home) -> str:
    """The secret of an authenticator app that is set up now."""
    told = one.control("POST", "/v1/totp", {}).body
    code = {"code": pyotp.TOTP(told["secret"]).now()}
    assert one.control("POST", f"/v1/totp/{told['enrolment']}", code).status == 200
    return str(told["secret"])


def code_of(secret: str) -> str:
    """One that was not used yet: the next step's, which the minter takes as well."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30)  # noqa: TID251  as the app does


def hasten(one: Home, request: str, seconds: float) -> None:
    """The question ends in `seconds`, as if it had been asked long ago."""
    database = sqlite3.connect(one.state / "minter.db", timeout=10)
    with contextlib.closing(database), database:
        ends = time.time() + seconds  # noqa: TID251  the daemon's own clock
        where = ("UPDATE requests SET pending_until = ? WHERE request_id = ?", (ends, request))
        assert database.execute(*where).rowcount == 1


@dataclass(slots=True)
class PromptWindow:
    """One open window. `xid` is its X id."""

    desk: Desk
    process: subprocess.Popen[str]
    xid: str
    colours: dict[str, str]

    # -- what is seen ------------------------------------------------------------------------------

    def shot(self, name: str = "") -> Image:
        seen = self.desk.window_shot(self.xid).convert("RGB")
        if name and SHOTS.is_dir():
            seen.save(SHOTS / f"{name}.png")
        return seen

    def patch(self, colour: str, *, below: float = 0.0) -> Box | None:
        """What of the window, under `below` of its height, has exactly this named colour."""
        seen = self.shot()
        wanted = self.colours[colour]
        value = tuple(int(wanted[place : place + 2], 16) for place in (1, 3, 5))
        top = int(seen.height * below)
        pixels = seen.crop((0, top, seen.width, seen.height))
        marks = [pixel == value for pixel in pixels.get_flattened_data()]
        found = [place for place, is_one in enumerate(marks) if is_one]
        if len(found) < 20:
            return None
        across = [place % seen.width for place in found]
        down = [place // seen.width + top for place in found]
        return min(across), min(down), max(across), max(down)

    def tallest(self, colour: str) -> int:
        """The most rows in a line with this colour: how large its largest letters are."""
        seen = self.shot()
        wanted = tuple(int(self.colours[colour][at : at + 2], 16) for at in (1, 3, 5))
        best = run = 0
        for y in range(seen.height):
            row = seen.crop((0, y, seen.width, y + 1)).get_flattened_data()
            run = run + 1 if wanted in row else 0
            best = max(best, run)
        return best

    def armed(self) -> bool:
        return self.patch("yes") is not None

    def says_in(self, colour: str) -> bool:
        """Whether there is a message in this colour above the buttons."""
        return self.patch(colour, below=0.5) is not None

    def wait_armed(self) -> None:
        wait_for(self.armed, seconds=10, why="the yes to wake")

    def wait_for_no(self) -> None:
        """Where a yes cannot be said: the no is the only one of the two that wakes."""

        def dead() -> int:
            box = self.patch("dead", below=0.8)
            return box[0] if box else 0

        first = dead()
        wait_for(lambda: dead() > first, seconds=10, why="the no to wake")

    def wait_red(self) -> None:
        wait_for(lambda: self.says_in("bad"), seconds=10, why="a message in red")

    # -- what is done ------------------------------------------------------------------------------

    def focus(self) -> None:
        self.desk.focus(self.xid)

    def key(self, *keys: str) -> None:
        self.desk.key(*keys)

    def press_yes(self) -> None:
        """By its letter, once it is awake; a busy machine may have put it back to sleep."""
        self.wait_armed()
        self.key("alt+a")

    def type(self, text: str) -> None:
        self.desk.type(text)

    def come_back(self) -> None:
        """Put away and brought back, as by a click in the task bar."""
        self.desk.tool("xdotool", "windowminimize", "--sync", self.xid)
        self.desk.tool("xdotool", "windowactivate", "--sync", self.xid)

    def click_field(self, place: int) -> None:
        """The entry at this place, from above."""
        seen = self.shot()
        wanted = tuple(int(self.colours["field"][at : at + 2], 16) for at in (1, 3, 5))
        rows = [y for y in range(seen.height) if seen.getpixel((seen.width // 2, y)) == wanted]
        tops = [y for y in rows if y - 1 not in rows]
        x, y = seen.width // 2, tops[place] + 6
        self.click((x, y, x, y))

    def click_yes(self) -> None:
        self.click(self.patch("yes"))

    def click_no(self) -> None:
        """The leftmost of the grey buttons below."""
        found = self.patch("button", below=0.85)
        assert found is not None
        left, top, _, bottom = found
        self.click((left, top, left + 60, bottom))

    def click(self, box: Box | None) -> None:
        assert box is not None, "there is nothing to click"
        x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        self.desk.tool("xdotool", "mousemove", "--window", self.xid, str(x), str(y), "click", "1")

    def ended(self, seconds: float = 20) -> tuple[int, str, str]:
        return finish(self.process, seconds=seconds)


@contextlib.contextmanager
def prompt(
    desk: Desk, one: Home, *words: str, dark: bool = False, env: dict[str, str] | None = None
) -> Iterator[PromptWindow]:
    """`borrow prompt WORDS` on `desk`, as the person of `one`; its window has the focus."""
    more = {name: desk.env[name] for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS")}
    more |= {"BORROW_THEME": "dark" if dark else "light"} | CHANGED | (env or {})
    need(None if find_spec("_tkinter") else "no tkinter", "apt-get install python3-tk")
    process = one.spawn(BORROW, "prompt", *words, env=more)
    try:
        yield PromptWindow(desk, process, _opened(desk, process), DARK if dark else LIGHT)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        wait_for(lambda: not _open_ones(desk), why="the window to be gone")


def _open_ones(desk: Desk) -> list[str]:
    return desk.tool("xdotool", "search", "--onlyvisible", "--class", "borrow-prompt").split()


def _opened(desk: Desk, process: subprocess.Popen[str]) -> str:
    def found() -> str | None:
        if process.poll() is not None:
            raise AssertionError(f"it ended: {process.communicate()}")
        ids = _open_ones(desk)
        return ids[-1] if ids else None

    xid = wait_for(found, seconds=20, why="the prompt's window")
    wait_for(lambda: desk.tool("xdotool", "getwindowfocus") == xid, why="the window to have focus")
    return xid
