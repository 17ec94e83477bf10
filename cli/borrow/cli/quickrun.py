"""`borrow run` without click: the usual line read by hand, because it is typed all day.

Whatever is not plainly such a line is left to click, which knows the words for it. A test holds
both to the same meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXTS: Final = {"-m": "reason", "--reason": "reason", "--ticket": "ticket", "--for": "seconds"}
_TEXTS_TOO: Final = {"--agent": "agent", "--profile": "profile"}
_FLAGS: Final = {"--elevate": "elevate", "--here": "here"}


class Line(NamedTuple):
    """What stood before and after `--`. `role` is "" for the project's."""

    command: tuple[str, ...]
    role: str = ""
    reason: str = ""
    ticket: str = ""
    seconds: str = ""
    agent: str = ""
    profiles: tuple[str, ...] = ()
    elevate: bool = False
    here: bool = False


def read(words: Sequence[str]) -> Line | None:
    """The words after `borrow run`, or None if click has to look at them."""
    if "--" not in words:
        return None
    cut = list(words).index("--")
    before, command = list(words[:cut]), tuple(words[cut + 1 :])
    texts: dict[str, str] = {}
    flags: set[str] = set()
    profiles: list[str] = []
    while before:
        word = before.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in _FLAGS and not equals:
            flags.add(_FLAGS[name])
        elif name in _TEXTS or name in _TEXTS_TOO:
            if not equals:
                if not before:
                    return None
                value = before.pop(0)
            if name == "--profile":
                profiles.append(value)
            else:
                texts[_TEXTS.get(name) or _TEXTS_TOO[name]] = value
        elif word.startswith("-") or not word or "role" in texts:
            return None
        else:
            texts["role"] = word
    if not command or ("role" in texts and "here" in flags) or not _is_duration(texts):
        return None
    return Line(
        command,
        role=texts.get("role", ""),
        reason=texts.get("reason", ""),
        ticket=texts.get("ticket", ""),
        seconds=texts.get("seconds", ""),
        agent=texts.get("agent", ""),
        profiles=tuple(profiles),
        elevate="elevate" in flags,
        here="here" in flags,
    )


def _is_duration(texts: dict[str, str]) -> bool:
    from borrow.protocol.durations import parse_duration
    from borrow.protocol.errors import Misconfigured

    try:
        return "seconds" not in texts or parse_duration(texts["seconds"]) > 0
    except Misconfigured:
        return False


def go(line: Line, *, dry: bool = False) -> int:
    """Run it, which returns only by raising; or show it, if `dry`."""
    from borrow.cli.lending import Wish
    from borrow.protocol.durations import parse_duration

    wish = Wish(
        line.role,
        line.reason,
        line.ticket,
        parse_duration(line.seconds) if line.seconds else 0,
        line.elevate,
        line.agent,
        tuple((name, line.role) for name in line.profiles),
    )
    if not wish.role:
        from borrow.cli.project import filled_in

        filled = filled_in(wish, line.command, here=line.here)
        if filled is None:
            from borrow.cli.lending import become_plainly

            become_plainly(line.command)
        wish = filled
    if not dry:
        from borrow.cli.home import open_home
        from borrow.cli.launch import running
        from borrow.cli.lending import become_with

        home = open_home()
        become_with(home, running(home), wish, line.command)
    from borrow.cli.dryrun import show

    return show(wish, line.command)
