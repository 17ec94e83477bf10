from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from borrow.protocol.errors import Unavailable
from borrow.tray.windows import Windows

if TYPE_CHECKING:
    from pathlib import Path

# A window that writes a line when it opens, and closes when `go` is there.
WINDOW = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with (folder / "opened").open("a") as file:
    file.write(" ".join(sys.argv[2:]) + "\\n")
while not (folder / "go").exists():
    time.sleep(0.01)
sys.exit(130)
"""


def windows(folder: Path) -> Windows:
    return Windows([sys.executable, "-c", WINDOW, str(folder)])


def opened(folder: Path) -> list[str]:
    path = folder / "opened"
    return path.read_text().splitlines() if path.exists() else []


async def until_open(folder: Path, count: int) -> None:
    async with asyncio.timeout(20):
        while len(opened(folder)) < count:  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.01)


async def test_a_question_has_one_window_and_another_question_its_own(tmp_path: Path) -> None:
    made = windows(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.show("r-1", "--", "r-1"))
        await until_open(tmp_path, 1)
        await made.show("r-1", "--", "r-1")
        tasks.create_task(made.show("r-2", "--", "r-2"))
        await until_open(tmp_path, 2)
        await asyncio.sleep(0.6)  # the second click was long ago when the window closes
        (tmp_path / "go").touch()
    assert opened(tmp_path) == ["-- r-1", "-- r-2"]


async def test_a_click_while_the_window_closes_opens_it_again(tmp_path: Path) -> None:
    made = windows(tmp_path)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.show("r-1"))
        await until_open(tmp_path, 1)
        await made.show("r-1")
        (tmp_path / "go").touch()
    assert len(opened(tmp_path)) == 2


async def test_what_kept_a_window_from_opening_is_said_with_its_own_words() -> None:
    said = "print('borrow: error: no \\x1b display\\nborrow: hint: borrow inbox', file=sys.stderr)"
    made = Windows([sys.executable, "-c", f"import sys; {said}; sys.exit(1)"])
    with pytest.raises(Unavailable, match=r"no \\u\{1b\} display") as caught:
        await made.show("r-1")
    assert caught.value.hint == "borrow inbox"


async def test_a_window_ends_with_the_tray(tmp_path: Path) -> None:
    made = windows(tmp_path)
    task = asyncio.ensure_future(made.show("r-1"))
    await until_open(tmp_path, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not made._open
