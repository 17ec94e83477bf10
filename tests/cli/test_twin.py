"""The prompt in a terminal: the same form, the same first second, the same "not now"."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, TypeAlias

import pexpect
import pytest

from borrow_fakes import prompts
from borrow_fakes.lab import BORROW, Home, home
from borrow_fakes.prompts import ask, code_of, enrol_app, hasten
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Terminal: TypeAlias = "pexpect.spawn[str]"
KEYS = "Esc not now"  # the row that says which keys do what: from here on they count
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07 \x9b31m\x1b]8;;http://bad.example\x1b\\link \r\u202etxt.exe "
    '[exec touch /tmp/x] $x ${y} "];destroy . {\\}' + "A" * 300
)


@pytest.fixture(scope="module")
def solo() -> Iterator[Home]:
    """One person alone, with a role for each way to say yes."""
    with home() as one:
        yield set_up(one, prompts.policy())


@contextlib.contextmanager
def terminal(one: Home, *words: str, wide: int = 100) -> Iterator[Terminal]:
    child: Terminal = pexpect.spawn(
        BORROW,
        list(words),
        env=one.env | prompts.CHANGED,
        encoding="utf-8",
        timeout=20,
        dimensions=(50, wide),
    )
    child.delaybeforesend = None
    try:
        yield child
    finally:
        child.close(force=True)


def twin(one: Home, *words: str, wide: int = 100) -> contextlib.AbstractContextManager[Terminal]:
    return terminal(one, "prompt", *words, wide=wide)


def ended(child: Terminal) -> tuple[int | None, str]:
    child.expect(pexpect.EOF)
    shown = str(child.before)
    child.close()
    return child.exitstatus, shown


def state(one: Home, request: str) -> str:
    return str(one.control("GET", f"/v1/decisions/{request}").body.get("state"))


def test_without_a_display_the_same_question_is_asked_here(solo: Home) -> None:
    request = ask(solo, "click-0", "-m", "in a terminal")["request"]
    with twin(solo, request) as child:
        child.expect("What the asking device says")
        facts = str(child.before)
        child.expect(KEYS)
        claims = str(child.before)
        child.send("t")  # 4h was asked; the next choice is the first
        child.expect("approve for 15m")
        child.send("a")
        child.expect("Enter: approve for 15m")
        child.send("\r")
        code, shown = ended(child)
    assert (code, f"approved: click-0 ({request})" in shown) == (0, True)
    assert "in a terminal" not in facts
    assert "in a terminal" in claims
    (grant,) = solo.status()["grants"]
    assert grant["expires_at"] - time.time() <= 900  # noqa: TID251  the daemon's own clock
    solo.borrow("return", "click-0")


def test_a_number_and_a_code_are_typed_and_a_wrong_one_is_told(solo: Home) -> None:
    secret = enrol_app(solo)
    asked = ask(solo, "totp-0", "-m", "with everything")
    with twin(solo, asked["request"]) as child:
        child.expect(KEYS)
        child.send("a12\r")
        child.expect("3 digits")
        child.send("\x15" + asked["number"] + "\r")
        child.expect("authenticator app: ")
        child.send("000000\r")
        child.expect("that code is not right")
        child.expect(KEYS)
        child.send("a" + asked["number"] + "\r")
        code = code_of(secret)
        child.send(code + "\r")
        status, shown = ended(child)
    assert (status, "approved: totp-0" in shown) == (0, True)
    assert code not in shown  # typed unseen
    solo.borrow("return", "totp-0")


def test_a_no_carries_its_reason(solo: Home) -> None:
    request = ask(solo, "click-1", "-m", "to be refused")["request"]
    with twin(solo, request) as child:
        child.expect(KEYS)
        child.send("d")
        child.expect("Why not")
        child.send("während des Freeze nicht\r")
        code, shown = ended(child)
    assert (code, f"denied: click-1 ({request})" in shown) == (0, True)
    assert "während des Freeze nicht" in solo.borrow("explain", request).stdout


@pytest.mark.parametrize("leave", ["\x1b", "\x03", "\x04", "q"])
def test_leaving_is_not_now_and_decides_nothing(solo: Home, leave: str) -> None:
    request = ask(solo, "click-2", "-m", "later perhaps")["request"]
    with twin(solo, request) as child:
        child.expect("one second" if leave == "\x1b" else KEYS)
        child.send("\r\r \t\x1b[A" if leave == "q" else "")  # a bare Enter or arrow does nothing
        child.send(leave)
        code, shown = ended(child)
    assert (code, "approved" in shown) == (130, False)
    assert state(solo, request) == "pending"


def test_what_was_typed_ahead_decides_nothing(solo: Home) -> None:
    request = ask(solo, "click-3", "-m", "too early")["request"]
    with twin(solo, request) as child:
        child.send("a\r" * 20)
        child.expect("one second")
        child.send("a\rd\r")
        child.expect(KEYS)
        time.sleep(0.5)  # for a key that had been kept
        assert state(solo, request) == "pending"
        assert child.isalive()
        child.send("q")
        assert ended(child)[0] == 130


def test_what_is_answered_elsewhere_ends_it_here(solo: Home) -> None:
    request = ask(solo, "match-0", "-m", "elsewhere")["request"]
    with twin(solo, request) as child:
        child.expect(KEYS)
        child.send("a12")  # in the middle of typing
        solo.borrow("deny", request, "-y")
        code, shown = ended(child)
    assert (code, "it was denied elsewhere" in shown) == (0, True)


def test_when_time_is_up_it_says_so(solo: Home) -> None:
    request = ask(solo, "click-4", "-m", "nobody comes")["request"]
    hasten(solo, request, 3)
    with twin(solo, request) as child:
        code, shown = ended(child)
    assert (code, "nobody answered in time" in shown) == (130, True)


@pytest.mark.parametrize("wide", [40, 100])
def test_a46_hostile_text_draws_and_does_nothing_in_the_terminal(solo: Home, wide: int) -> None:
    request = ask(solo, "click-5", "-m", HOSTILE)["request"]
    with twin(solo, request, wide=wide) as child:
        child.expect(KEYS)
        shown = str(child.before)
        child.send("q")
        assert ended(child)[0] == 130
    ours = re.compile(r"\x1b\[[\d;]*m|\r\x1b\[2K|\r\n")  # style, and the row drawn anew
    rest = ours.sub("", shown)
    assert not [char for char in rest if not char.isprintable()], ascii(rest)
    flat = rest.replace(" ", "")
    for code in ("\\u{1b}", "\\u{7}", "\\u{9b}", "\\u{d}", "\\u{202e}", "[exectouch/tmp/x]$x${y}"):
        assert code in flat
    assert "A" * 150 not in flat  # cut
    assert all(len(line) <= wide for line in ours.sub("\n", shown).splitlines())


def test_asking_takes_reason_and_ticket_and_recalls_what_was_given_before(solo: Home) -> None:
    with twin(solo, "--ask", "ticketed-0") as child:
        child.expect(KEYS)
        child.send("ashort\r")
        child.expect("at least 10 characters")
        child.send("long enough now\r")
        child.expect("Ticket")
        child.send("INC-7\r")
        child.expect("Asked for ticketed-0")
        asked = solo.pending("ticketed-0")
        child.expect("waiting for the answer")
        solo.borrow("approve", asked["request"], "-y")
        code, shown = ended(child)
    assert (code, "granted: ticketed-0" in shown) == (0, True)
    solo.borrow("return", "ticketed-0")


def test_a_role_is_chosen_by_number_or_name(solo: Home) -> None:
    with twin(solo, "--ask") as child:
        child.expect("which role")
        child.sendline("click-")
        child.expect("several roles")
        child.sendline("click-7")
        child.expect("Ask for click-7")
        child.expect(KEYS)
        child.send("\x1b")
        assert ended(child)[0] == 130


def test_the_terminal_is_as_it_was_before(solo: Home) -> None:
    request = ask(solo, "click-6", "-m", "leave no trace")["request"]
    script = f"trap : INT; stty -g; {BORROW} prompt {request}; stty -g"
    child: Terminal = pexpect.spawn(
        "/bin/sh", ["-c", script], env=solo.env, encoding="utf-8", timeout=20
    )
    child.expect(KEYS)
    child.send("\x03")
    shown = str(child.before) + ended(child)[1]
    first, last = re.findall(r"^[0-9a-f]+(?::[0-9a-f]+){20,}", shown, re.MULTILINE)
    assert first == last


@pytest.mark.parametrize("missing", ["tkinter", "display"])
def test_without_tkinter_or_a_screen_one_line_says_so_and_it_is_asked_here(
    solo: Home, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "tkinter.py").write_text(
        "raise ModuleNotFoundError(\"No module named '_tkinter'\", name='_tkinter')\n"
    )
    env = solo.env | {"DISPLAY": ":9876"}
    env |= {"PYTHONPATH": str(tmp_path)} if missing == "tkinter" else {}
    request = ask(solo, "match-2", "-m", "no window")["request"]
    with pexpect.spawn(
        BORROW, ["prompt", request], env=env, encoding="utf-8", timeout=20, dimensions=(50, 100)
    ) as child:
        child.expect(KEYS)
        shown = str(child.before)
        child.send("q")
        assert ended(child)[0] == 130
    (told,) = re.findall(r"no window: [^\r\n]*", shown)
    assert ("apt-get install python3-tk" if missing == "tkinter" else "display") in told
    assert "Traceback" not in shown


def test_without_display_and_terminal_it_says_so(solo: Home) -> None:
    request = ask(solo, "click-7", "-m", "for nobody")["request"]
    done = solo.borrow("prompt", request, ok=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[0] == "borrow: error: there is no display and no terminal"
    assert "borrow inbox" in done.stderr.splitlines()[1]


def test_the_inbox_stays_lists_and_answers(solo: Home) -> None:
    with terminal(solo, "inbox", "--watch") as child:
        child.expect("waits for your answer")
        asked = ask(solo, "match-1", "-m", "seen in the list")
        child.expect("seen in the list")
        place = [one["request"] for one in solo.control("GET", "/v1/inbox").body["decisions"]]
        child.send(str(place.index(asked["request"]) + 1) + "d")
        child.expect("Why not")
        child.send("no\r")
        child.expect(re.escape(f"denied: match-1 ({asked['request']})"))
        child.expect("waits for your answer")
        child.send("q")
        code, shown = ended(child)
    assert code == 0
    assert "\x1b[?1049l" in shown  # the first screen is back


def test_the_inbox_does_not_stay_in_a_pipe(solo: Home) -> None:
    done = solo.borrow("inbox", "--watch", ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr
