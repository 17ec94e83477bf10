"""What a hostile request can do to the window that asks about it: nothing but be read."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.tray import form as forms
from borrow_fakes import prompts
from borrow_fakes.desk import Desk
from borrow_fakes.lab import Home, finish, home, wait_for
from borrow_fakes.prompts import PromptWindow, ask, prompt
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

BIDI = "\u202etxt.exe\u2066 \u200b"
TERMINAL = "\x1b[2J\x1b]0;owned\x07\x9b31m\x1b]8;;http://bad.example\x1b\\link\r"
TCL = '[exec touch {}] $env(HOME) ${{x}} "]; destroy . ; exec touch {} {{\\}}'
CHAT = "<!channel> <http://bad.example|look> `rm` *b* https://bad.example &amp;<b>x</b>"
# Asks as a program does, over the control socket: the daemon looks at who it is.
ASKS = """
import json, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
body = json.dumps({"role": sys.argv[2], "reason": sys.argv[3], "wait": False}).encode()
head = "POST /v1/ask HTTP/1.1\\r\\nHost: borrow\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
line.sendall(head.encode() + body)
while line.recv(65536):
    pass
"""


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk() as one:
        yield one


@pytest.fixture(scope="module")
def solo() -> Iterator[Home]:
    with home() as one:
        yield set_up(one, prompts.policy())


def ask_as(one: Home, role: str, reason: str, *, name: str, folder: Path) -> dict[str, object]:
    """The question of a program that calls itself `name`, as `/v1/decisions` tells it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [name, "-I", "-c", ASKS, str(one.socket), role, reason]
    code = f"import os; os.chdir({str(folder)!r}); os.execv({sys.executable!r}, {words!r})"
    done, _, err = finish(one.spawn(sys.executable, "-I", "-c", code, session=True))
    assert done == 0, err
    request = one.pending(role)["request"]
    return one.control("GET", f"/v1/decisions/{request}").body


def in_sight(desk: Desk, window: PromptWindow) -> None:
    """The whole window is on the screen, and all of its buttons are in it."""
    screen = desk.shot()
    left, top, right, bottom = desk.place(window.xid)
    assert 0 <= left < right <= screen.width
    assert 0 <= top < bottom <= screen.height
    yes, grey = window.patch("yes", below=0.6), window.patch("button", below=0.6)
    assert yes is not None
    assert grey is not None
    assert yes[2] < right - left - 1
    assert yes[3] < bottom - top - 1
    assert grey[2] - grey[0] > 100  # deny and not now


@pytest.mark.parametrize(
    ("dark", "factor"),
    [
        (False, "1"),
        pytest.param(True, "1", marks=pytest.mark.slow),
        pytest.param(False, "1.6", marks=pytest.mark.slow),
        (True, "2.4"),
    ],
)
def test_a46_hostile_text_is_drawn_and_does_nothing_in_the_window(
    desk: Desk, solo: Home, tmp_path: Path, dark: bool, factor: str
) -> None:
    """A46, A48: ANSI, C1, OSC 8, CR, BEL, bidi, Tcl, chat markup, and very much of it."""
    marker = solo.root / "owned"
    tcl = TCL.format(marker, marker)
    folder = tmp_path / (BIDI + "$x[exec id]") / ("n" * 200)
    one = ask_as(
        solo,
        f"match-{2 + dark}",
        tcl + TERMINAL + CHAT + "😀" + "W" * 100,
        name="aws\x1b[2J " + tcl + "A" * 4000,
        folder=folder,
    )
    text = {"BORROW_TEXT_SCALE": factor}
    with prompt(desk, solo, str(one["request"]), dark=dark, env=text) as window:
        window.wait_armed()
        window.shot(f"hostile-{'dark' if dark else 'light'}-{factor}")
        title = desk.tool("xdotool", "getwindowname", window.xid)
        in_sight(desk, window)
        window.key("Next", "Next")  # what is below the fold is as inert
        in_sight(desk, window)
        assert title.isprintable()
        assert window.process.poll() is None
        window.key("Escape")
        code, out, err = window.ended()
    assert (code, out, err) == (130, "", "")
    assert not marker.exists()


def test_a45_a_borrowed_name_stands_below_the_file_and_the_chain_not_verified(
    desk: Desk, solo: Home, tmp_path: Path
) -> None:
    one = ask_as(solo, "click-0", "routine", name="aws", folder=tmp_path / "pay")
    form = forms.answering(one, 0.0)
    claims = dict(form.claims)
    assert "python" in claims["program"]
    assert claims["program"].startswith("/")
    assert claims["command"].startswith("aws ")
    assert "python" in claims["started by"]
    assert "not verified" in forms.CLAIMED
    assert not {"program", "command"} & dict(form.facts).keys()
    with prompt(desk, solo, str(one["request"])) as window:
        window.wait_armed()
        window.shot("a45")
        # The heading of what is claimed, in its own colour, above the buttons and below the facts.
        found = window.patch("warn")
        assert found is not None
        assert found[1] > 100


def test_a54_a_pressed_approve_is_no_yes_where_the_rule_wants_proof(desk: Desk, solo: Home) -> None:
    """xdotool presses it, as any program of this user could."""
    one = ask(solo, "secret-0", "-m", "press it for me")
    with prompt(desk, solo, one["request"]) as window:
        window.wait_armed()
        for _ in range(3):
            window.click_yes()
            window.key("alt+a")
        window.wait_red()
        window.shot("a54")
        told = solo.control("GET", f"/v1/decisions/{one['request']}").body
        assert (told["state"], told["factors"]) == ("pending", ["totp"])
        window.key("Escape")
        assert window.ended()[0] == 130
    # Nor for a program that speaks to the daemon without any window.
    assert solo.decide(one["request"]).status == 403
    assert solo.control("GET", f"/v1/decisions/{one['request']}").body["state"] == "pending"


def test_what_was_typed_is_in_no_argv_and_no_file(desk: Desk, solo: Home) -> None:
    one = ask(solo, "totp-1", "-m", "typed in secret")
    with prompt(desk, solo, one["request"]) as window:
        window.wait_armed()
        window.type(one["number"])
        window.key("Return")
        window.type("271828")
        wait_for(lambda: window.patch("focus"), why="the field")
        seen = Path(f"/proc/{window.process.pid}/cmdline").read_bytes()
        assert b"271828" not in seen
        window.key("Escape")
        assert window.ended()[0] == 130
    for path in solo.root.rglob("*"):
        if stat.S_ISREG(path.lstat().st_mode):
            assert b"271828" not in path.read_bytes(), path
