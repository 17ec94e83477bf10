"""A prompt's form as lines for a terminal. Pure; the form's texts are escaped already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.cli.keyboard import columns
from borrow.protocol.durations import show_duration
from borrow.tray import form as forms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.tray.form import Form
    from borrow.tray.labels import Pairs

LABELS: Final = 15  # columns


def lines(form: Form, wide: int) -> Iterator[tuple[str, str]]:
    """(style, line) from top to bottom; the style is one of head, faint, warn or ""."""
    yield "faint", "─" * wide
    for line in wrapped(form.head, wide):
        yield "head", line
    yield from (("", line) for line in _pairs(form.facts, wide))
    if form.claims:
        for line in wrapped(f"── {forms.CLAIMED}", wide):
            yield "warn", f"{line} ".ljust(wide, "─")
        yield from (("", line) for line in _pairs(form.claims, wide))
    yield "faint", "─" * wide
    if form.cannot:
        yield from (("warn", line) for line in wrapped(form.cannot, wide))


def yes(form: Form, seconds: int) -> str:
    return form.yes.lower() + (f" for {show_duration(seconds)}" if form.durations else "")


def choices(form: Form, seconds: int, wide: int, *, deny: bool) -> str:
    """The row that says which key does what."""
    other = len(form.durations) > 1 and not form.cannot
    told = [
        "" if form.cannot else f"a {yes(form, seconds)}",
        "t other time" if other else "",
        "d deny" if deny else "",
        "Esc not now",
    ]
    row = "   ".join(each for each in told if each)
    if len(row) <= wide:
        return row
    length = f" {show_duration(seconds)}" if form.durations else ""
    told[0], told[1] = f"a yes{length}" * bool(told[0]), "t time" * other
    return " ".join(each for each in told if each)


def next_duration(form: Form, seconds: int) -> int:
    if seconds not in form.durations:
        return form.chosen
    return form.durations[(form.durations.index(seconds) + 1) % len(form.durations)]


def wrapped(text: str, wide: int) -> Iterator[str]:
    """Lines of at most `wide` columns, broken at blanks and inside of words that are longer."""
    line = ""
    for word in text.split(" "):
        while columns(word) > wide:
            if line:
                yield line
                line = ""
            part = word
            while columns(part) > wide:
                part = part[: max(1, len(part) * wide // columns(part))]
            yield part
            word = word[len(part) :]
        if line and columns(line) + 1 + columns(word) > wide:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line


def _pairs(pairs: Pairs, wide: int) -> Iterator[str]:
    for label, value in pairs:
        room = max(20, wide - LABELS - 2)
        for place, line in enumerate(wrapped(value, room)):
            yield f"  {'' if place else label:<{LABELS}}{line}"
