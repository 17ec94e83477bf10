"""Lines that Borrow writes into a caller's terminal."""

import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from borrow.daemon.caller import Session, session_of
from borrow.daemon.terminal import MAX_LINE, Drawn, Live, columns, draw, fit, say
from borrow_fakes.edge import SYSTEM_PYTHON
from borrow_fakes.lab import wait_for
from borrow_fakes.tools import lacking, need

# Opens its own session with the given terminal as its controlling one, and stays.
SESSION = "import os; os.setsid(); os.close(os.open(os.ttyname(0), os.O_RDWR)); "
SESSION += "print('ready', flush=True); os.read(int(__import__('sys').argv[1]), 1)"


@contextmanager
def terminal_session(**environ: str) -> Iterator[tuple[int, Session]]:
    """The reading end of a terminal, and the living session it controls."""
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    controller, terminal = pty.openpty()
    hold, release = os.pipe()
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", SESSION, str(hold)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        pass_fds=[hold],
        env=os.environ | {"TERM": "xterm"} | environ,
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            session = session_of(child.pid)
            assert session is not None
            yield controller, session
        finally:
            for handle in (hold, release, terminal, controller):
                os.close(handle)
            child.kill()


def heard(controller: int) -> bytes:
    """All that was written: the pieces of it may arrive one by one."""
    data, patience = b"", 1.0
    while select.select([controller], [], [], patience)[0]:
        data += os.read(controller, 4096)
        patience = 0.2
    return data


def test_the_line_arrives_in_the_callers_terminal() -> None:
    with terminal_session() as (controller, session):
        assert say(session, "borrow: number 123, sent to your phone")
        assert heard(controller) == b"\rborrow: number 123, sent to your phone\x1b[K\r\r\n"


def test_a46_nothing_in_a_line_acts_on_the_terminal() -> None:
    hostile = "a\x1b]8;;http://evil\x07b\x1b[2Jc\rd\ne\x9bf\u202eg\x00"
    with terminal_session() as (controller, session):
        assert say(session, hostile)
        line = heard(controller).strip().removesuffix(b"\x1b[K")
        assert not re.search(rb"[\x00-\x1f\x7f]|\xc2[\x80-\x9f]", line)
        assert rb"\u{1b}" in line


LINE = Live(
    "borrow: prod-admin waits for you",
    ("number 417", "14:57 left"),
    ("r-1", "answer on your other device"),
)


def resize(controller: int, columns: int) -> None:
    termios.tcsetwinsize(controller, (24, columns))


def cooked(controller: int, *, on: bool) -> None:
    settings = termios.tcgetattr(controller)
    settings[3] = settings[3] | termios.ICANON if on else settings[3] & ~termios.ICANON
    termios.tcsetattr(controller, termios.TCSANOW, settings)


def test_a_live_line_is_redrawn_in_place_and_ended_before_the_outcome() -> None:
    with terminal_session() as (controller, session):
        resize(controller, 120)
        assert draw(session, LINE) is Drawn.YES
        assert draw(session, replace(LINE, needed=("number 417", "14:56 left"))) is Drawn.YES
        assert say(session, "borrow: granted", after_live=True, bell=True)
        assert heard(controller).decode() == (
            "\rborrow: prod-admin waits for you · number 417 · 14:57 left · r-1"
            " · answer on your other device\x1b[K\x1b[999G "
            "\rborrow: prod-admin waits for you · number 417 · 14:56 left · r-1"
            " · answer on your other device\x1b[K\x1b[999G "
            "\r\r\nborrow: granted\x1b[K\r\r\n\a"  # the terminal adds a \r to each \n
        )


@pytest.mark.parametrize("width", [1, 2, 10, 30, 60, 75, 80, 200])
def test_a_live_line_never_wraps_and_keeps_what_matters(width: int) -> None:
    with terminal_session() as (controller, session):
        resize(controller, width)
        assert draw(session, LINE) is Drawn.YES
        line = heard(controller).decode().removeprefix("\r").partition("\x1b[K")[0]
        assert columns(line) < width
        assert ("number 417 · 14:57 left" in line) == (width > 42)
        assert ("other device" in line) == (width > 100)


def test_a46_names_in_a_live_line_are_escaped_before_they_are_measured() -> None:
    hostile = "bea\x1b[2J\r\n\a\u202e\u3042" * 3
    line = Live(f"borrow: prod-admin waits for {hostile}", LINE.needed, (f"{hostile} is looking",))
    for width in (40, 80, 120, 300):
        text = fit(line, width)
        assert columns(text) <= width
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", text)
        assert "number 417" in text


@contextmanager
def emulated(width: int) -> Iterator[tuple[Session, Path, Callable[[], list[str]]]]:
    """A session in a real terminal emulator: its device, and what a person sees there."""
    need(lacking("tmux"), "apt-get install tmux")
    folder = tempfile.mkdtemp(prefix="b-")
    tmux = ["tmux", "-S", f"{folder}/s", "-f", "/dev/null"]

    def told(*words: str) -> str:
        done = subprocess.run([*tmux, *words], capture_output=True, text=True, check=True)
        return done.stdout

    try:
        told("new-session", "-d", "-x", str(width), "-y", "24", "cat")
        pid, tty = told("display", "-p", "#{pane_pid} #{pane_tty}").split()
        session = wait_for(lambda: session_of(int(pid)), why="a session")
        yield session, Path(tty), lambda: told("capture-pane", "-p").splitlines()
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True, check=False)
        shutil.rmtree(folder)


@pytest.mark.parametrize("width", [50, 80])
def test_what_others_write_meanwhile_begins_on_a_line_of_its_own(width: int) -> None:
    """Another program's output, an echoed ^C, the next prompt; and no redrawing wraps."""
    with emulated(width) as (session, device, screen):
        for left in ("14:57", "14:56", "14:55"):
            assert draw(session, replace(LINE, needed=("number 417", f"{left} left"))) is Drawn.YES

        def shows(*rows: str) -> bool:
            seen = [row.rstrip() for row in screen() if row.strip()]
            return len(seen) == len(rows) and all(map(str.__contains__, seen, rows))

        wait_for(lambda: shows("14:55 left"), why="one line")
        device.write_text("make: built\r\n")
        assert draw(session, replace(LINE, needed=("number 417", "14:54 left"))) is Drawn.YES
        wait_for(lambda: shows("14:55 left", "make: built", "14:54 left"), why="the next line")
        assert [row for row in screen() if "make" in row] == ["make: built"]
        assert say(session, "borrow: granted", after_live=True)
        device.write_text("$ ")
        after = ("14:55 left", "make: built", "14:54 left", "borrow: granted", "$")
        wait_for(lambda: shows(*after), why="all of it")


def test_a_full_screen_program_is_never_drawn_on() -> None:
    with terminal_session() as (controller, session):
        cooked(controller, on=False)
        assert draw(session, LINE) is Drawn.NOT_HERE
        assert heard(controller) == b""
        assert say(session, "one plain line")
        assert b"\x1b" not in heard(controller)
        cooked(controller, on=True)
        assert draw(session, LINE) is Drawn.YES


def test_a_terminal_that_can_nothing_gets_plain_lines() -> None:
    with terminal_session(TERM="dumb") as (controller, session):
        assert draw(session, LINE) is Drawn.NOT_HERE
        assert say(session, "one plain line")
        assert heard(controller) == b"\rone plain line\r\r\n"


def test_no_live_line_where_no_line_may_go() -> None:
    with terminal_session() as (controller, session):
        ended = Session(session.sid, session.leader_start - 1, session.tty)
        assert draw(ended, LINE) is Drawn.NO
        assert heard(controller) == b""


def test_a_long_line_is_cut() -> None:
    with terminal_session() as (controller, session):
        assert say(session, "x" * 10_000)
        assert len(heard(controller)) <= MAX_LINE + 12


def test_a_session_that_ended_is_not_written_to() -> None:
    with terminal_session() as (controller, session):
        ended = Session(session.sid, session.leader_start - 1, session.tty)
        assert not say(ended, "to nobody")
        assert heard(controller) == b""


def test_another_sessions_terminal_is_not_written_to() -> None:
    with terminal_session() as (first, one), terminal_session() as (second, other):
        assert not say(Session(one.sid, one.leader_start, other.tty), "to the wrong one")
        assert heard(first) + heard(second) == b""


@pytest.mark.parametrize(
    "path",
    ["", "/dev/null", "/etc/passwd", "/dev/pts/../null", "/dev/tty", "/dev/pts/999999", "x"],
)
def test_what_is_not_a_terminal_of_the_session_is_not_written_to(path: str) -> None:
    with terminal_session() as (controller, session):
        assert not say(Session(session.sid, session.leader_start, path), "no")
        assert heard(controller) == b""


def test_a_file_in_the_place_of_a_terminal_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "0"
    file.write_text("mine")
    assert not say(Session(os.getpid(), 1, str(file)), "no")
    assert file.read_text() == "mine"


def test_a_terminal_that_is_stopped_is_not_waited_for() -> None:
    with terminal_session() as (_, session):
        # Nobody reads: its buffer fills, and then a write would block.
        results = [say(session, "y" * 390) for _ in range(200)]
        assert results[0]
        assert not results[-1]
