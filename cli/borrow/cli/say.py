"""How Borrow talks to people.

1. Results go to stdout, all else (waiting, questions, errors) to stderr: a pipe sees results.
2. Text that came from anywhere else passes `shown`: no byte of it acts on the terminal.
3. `--json` answers are one JSON document on stdout and nothing else there.
4. Colour, bell and cursor movement only on a terminal; `NO_COLOR` and `TERM=dumb` are obeyed.
5. A question is asked of a person at a terminal, or not at all: without one it is wrong use.
6. Secrets and QR codes are shown on a terminal only.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from borrow.cli.errors import WrongUse
from borrow.protocol.durations import show_duration
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from rich.console import Console


def line(text: str = "") -> None:
    """A line of the result. What is foreign in it went through `shown` already."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line beside the result."""
    print(text, file=sys.stderr, flush=True)


def document(value: Any) -> None:
    """Pure ASCII: C1 and bidi characters, which JSON allows, would act on a terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=True), flush=True)


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def can_ask() -> bool:
    """A person can read the question and type the answer."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def can_move() -> bool:
    """Stderr is a terminal on which a line can be redrawn."""
    return is_terminal(sys.stderr) and os.environ.get("TERM", "") not in ("", "dumb")


def styled(text: str, code: str) -> str:
    """`text` in an ANSI style on stderr, if that is wanted there."""
    if not can_move() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def bold(text: str) -> str:
    return styled(text, "1")


def dim(text: str) -> str:
    return styled(text, "2")


def ask(question: str, *, without: str, choice: str = "") -> str:
    """One line typed by a person. `without` is the line to use where nobody can be asked.

    End of input is an interruption, as Ctrl-C is: nothing was decided.
    """
    if not can_ask():
        raise WrongUse(f"nobody can be asked here: {question}", hint=without)
    sys.stderr.write(f"{question}{choice}: ")
    sys.stderr.flush()
    typed = sys.stdin.readline()
    if not typed:
        note("")
        raise KeyboardInterrupt
    return typed.strip()


def confirm(question: str, *, without: str) -> bool:
    """Yes or no; a bare Enter is no."""
    while True:
        match ask(question, without=without, choice=" [y/N]").lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
            case _:
                note("please type y or n")


def console() -> Console:
    """Rich on stdout; imported here because it costs 100 ms."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, markup=False, emoji=False)


_READABLE = 12  # columns a cell needs at least, if it is that long


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns on a terminal, tab-separated lines in a pipe. Cells are escaped here.

    The first column, by which a row is named, is never broken: where the terminal is too narrow
    for that, each row is a few lines.
    """
    cells = [[shown(cell) for cell in row] for row in rows]
    if not is_terminal(sys.stdout):
        for row in cells:
            line("\t".join(row))
        return
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    out = console()
    widths = [max(map(cell_len, column)) for column in zip(titles, *cells, strict=True)]
    if widths[0] + sum(min(each, _READABLE) + 3 for each in widths[1:]) > out.width:
        for name, *rest in cells:
            line(name)
            told = zip(titles[1:], rest, strict=True)
            line("  " + " · ".join(f"{title} {cell}" for title, cell in told if cell))
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place, title in enumerate(titles):
        drawn.add_column(title, overflow="fold", no_wrap=place == 0)
    for row in cells:
        drawn.add_row(*map(Text, row))
    out.print(drawn)


def left(seconds: float) -> str:
    """How long until something, coarse enough to be read: `59m`, `1h5m`, `42s`."""
    whole = max(0, int(seconds))
    if whole >= 120:
        whole -= whole % 60
    return show_duration(whole)


def text_of(value: object, otherwise: str = "") -> str:
    """A member of an answer as text fit to be shown."""
    return shown(value) if isinstance(value, str) and value else otherwise


def number_of(value: object) -> float:
    """A member of an answer as a number; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value


def people(value: object) -> str:
    """A list of people in one line: `ann@example.com, bo@example.com and 3 more`."""
    listed = (
        [shown(one, 80) for one in value if isinstance(one, str)] if isinstance(value, list) else []
    )
    rest = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + rest
