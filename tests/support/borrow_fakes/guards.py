"""Guards taken out of a copy of a room, one at a time: the test named for each must fail then."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from borrow_fakes.zygote import Zygote

TESTS = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Off:
    """`old` stands once in the room's `module` and becomes `new`; `test` is `file::name`."""

    guard: str
    module: str
    old: str
    new: str
    test: str
    room: str = "daemon"


def copy_of(room: str, folder: Path) -> Path:
    """The room's package in `folder`."""
    package = importlib.import_module(f"borrow.{room}")
    copy = folder / "borrow" / room
    source = Path(package.__file__ or "").parent
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def copy_without(off: Off, folder: Path, helping: Mapping[str, str] | None = None) -> None:
    """The room with one guard less. `helping` is text to add to a module, by its name."""
    module = copy_of(off.room, folder) / off.module
    text = module.read_text(encoding="utf-8")
    assert text.count(off.old) == 1, f"the code moved on: find the place of {off.guard!r} again"
    changed = text.replace(off.old, off.new)
    module.write_text(changed + (helping or {}).get(off.module, ""), encoding="utf-8")


def have_places(offs: Sequence[Off], folder: Path) -> None:
    """Every guard stands where its row says, and its test is there."""
    for number, off in enumerate(offs):
        copy_without(off, folder / str(number))
        file, _, name = off.test.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text() or not name, off.test


def is_noticed(
    off: Off, zygote: Zygote, folder: Path, helping: Mapping[str, str] | None = None
) -> None:
    """Its test fails without it."""
    copy_without(off, folder, helping)
    code, said = zygote.run(folder, [str(TESTS / off.test)], folder / "said")
    assert code == 1, f"nobody noticed: {off.guard}\n{said[-3_000:]}"
    # A test that failed, and not one that could not even be set up.
    assert " failed" in said.splitlines()[-1], said[-3_000:]
    assert "ImportError" not in said


def pass_in_place(
    offs: Sequence[Off],
    zygote: Zygote,
    folder: Path,
    helping: Mapping[str, str] | None = None,
) -> None:
    """With every guard in place the tests pass; else their failures would prove nothing."""
    for room in sorted({off.room for off in offs}):
        package = copy_of(room, folder)
        for module, text in (helping or {}).items() if room == "daemon" else ():
            with (package / module).open("a") as file:
                file.write(text)
    named = sorted({str(TESTS / off.test) for off in offs})
    code, said = zygote.run(folder, named, folder / "said")
    assert code == 0, said[-3_000:]
