"""The marked block of `borrow profiles` in a text, put in and taken out byte by byte. Pure.

The begin line carries a digest of the block's content, so that an edit inside is seen, and whether
a line end was added before it, so that taking it out gives the text of before.
"""

from __future__ import annotations

import configparser
import hashlib
import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.protocol.errors import Misconfigured
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGIN: Final = re.compile(r"# >>> borrow profiles ([0-9a-f]{16})( joined)? >>>[^\n]*\n")
_END: Final = "# <<< borrow profiles <<<\n"
_TOLD: Final = "made by `borrow profiles`, removed by `borrow profiles uninstall`"


class Parts(NamedTuple):
    """A text around its block. `block` is None without one."""

    before: str
    block: str | None
    after: str
    edited: bool = False

    @property
    def outside(self) -> str:
        return self.before + self.after


def split(text: str) -> Parts:
    """Raises Misconfigured if the block has a begin and no end."""
    begin = _BEGIN.search(text)
    if begin is None:
        return Parts(text, None, "")
    end = text.find(_END, begin.end())
    if end < 0:
        raise Misconfigured(
            "the block of borrow profiles has no end", hint=f"put it back: {_END.strip()}"
        )
    block, before = text[begin.end() : end], text[: begin.start()]
    if begin[2]:
        before = before.removesuffix("\n")
    return Parts(before, block, text[end + len(_END) :], _digest(block) != begin[1])


def joined(parts: Parts, block: str) -> str:
    """The text with `block` where the old one was, or at the end."""
    needs_end = bool(parts.before) and not parts.before.endswith("\n")
    flag = " joined" if needs_end else ""
    line = f"# >>> borrow profiles {_digest(block)}{flag} >>> {_TOLD}\n"
    return parts.before + ("\n" if needs_end else "") + line + block + _END + parts.after


def written(lines: Mapping[str, tuple[str, str, str]]) -> str:
    """The block's content: by profile (role, credential_process, region)."""
    out = []
    for name, (role, process, region) in lines.items():
        out += [f"[profile {name}]", f"credential_process = {process}", f"borrow_role = {role}"]
        out += [f"region = {region}"] if region else []
    return "\n".join(out) + "\n"


def check_config(text: str, place: str) -> dict[str, str]:
    """`source_profile` by profile, of a config that SDKs can read. Raises Misconfigured in one line
    for a syntax error, or for profiles that are each other's source."""
    parser = configparser.RawConfigParser(default_section="", strict=False, allow_no_value=False)
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except configparser.Error as exc:
        numbers = [n for n, _ in getattr(exc, "errors", [])] or [getattr(exc, "lineno", 0)]
        raise Misconfigured(
            f"{shown(place)} line {numbers[0]} cannot be read, so nothing was changed",
            hint=f"correct it: sed -n {numbers[0]}p {shown(shlex.quote(place))}",
        ) from exc
    sources = {}
    for header in parser.sections():
        name = header.removeprefix("profile").strip().strip("\"'") or header
        sources[name] = parser[header].get("source_profile", "").strip()
    for name in sources:
        seen = [name]
        while (then := sources.get(seen[-1], "")) and then != seen[-1]:
            if then in seen:
                raise Misconfigured(
                    f"profiles of {shown(place)} are each other's source: "
                    f"{' → '.join(shown(each, 60) for each in [*seen, then])}; nothing was changed",
                    hint="remove one `source_profile`",
                )
            seen.append(then)
    return sources


def _digest(block: str) -> str:
    return hashlib.sha256(block.encode("utf-8", "surrogateescape")).hexdigest()[:16]
