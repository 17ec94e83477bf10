"""What goes into a bug report: findings, versions, shapes; nothing that names or opens anything.

People, machines, accounts, roles' ARNs and secrets become words with a number (`PERSON-1`), the
same for the same, so that a report can still be followed. Pure, but for `write`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# Of these the value is told: it is a switch or a kind, and no secret.
_TOLD: Final = frozenset(
    {
        "AWS_EC2_METADATA_DISABLED",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_CSM_ENABLED",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_SDK_LOAD_CONFIG",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
    }
)
_FAMILIES: Final = ("AWS_", "BORROW_", "BOTO_", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_PROXIES: Final = re.compile(r"(?:https?|all|no)_proxy", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,16}")

_IDS: Final = r"[rg]-[0-9a-z]{26}"  # requests and grants: they find a log line, and open nothing
_PATTERNS: Final = (
    ("ARN", re.compile(r"arn:aws[a-z-]*:[^\s'\",)\]]+")),
    ("PERSON", re.compile(r"[^\s'\"<>(),;:=]+@[^\s'\"<>(),;:]+|\blocal:[^\s'\",)]+")),
    ("KEY", re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{8,}")),
    ("ACCOUNT", re.compile(r"(?<!\d)\d{12}(?!\d)")),
    ("HOST", re.compile(r"(?<=://)(?!127\.0\.0\.1\b|localhost\b|\[::1\]|HOST-)[^\s/'\",)]+")),
    (
        "ADDRESS",
        re.compile(r"(?<![\d.])(?!127\.|0\.|169\.254\.1)\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"),
    ),
    (
        "SECRET",
        re.compile(
            rf"(?!{_IDS}|AWS_[A-Z0-9_]+=)(?<![\w/.-])(?=[\w+/=-]*\d)[A-Za-z0-9+/=_-]{{24,}}(?![\w.])"
        ),
    ),
)


class Redactor:
    """`known` are texts of this machine (its user, host, home) and the words instead of them."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = sorted(known.items(), key=lambda pair: -len(pair[0]))
        self._seen: dict[tuple[str, str], str] = {}

    def __call__(self, text: str) -> str:
        for name, word in self._known:
            if len(name) > 1:
                text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", word, text)
        for word, pattern in _PATTERNS:
            text = pattern.sub(lambda found, word=word: self._named(word, found[0]), text)  # type: ignore[misc]  # a default argument binds the loop's word
        return text

    def _named(self, word: str, found: str) -> str:
        key = (word, found)
        if key not in self._seen:
            number = 1 + sum(1 for kind, _ in self._seen if kind == word)
            self._seen[key] = f"{word}-{number}"
        return self._seen[key]


def variables(environment: Mapping[str, str]) -> list[str]:
    """Which of the variables that matter are set; what they hold only where that is a switch."""
    told = []
    for name in sorted(environment):
        if not (name.startswith(_FAMILIES) or _PROXIES.fullmatch(name)) or not name.isidentifier():
            continue
        value = environment[name]
        plain = name in _TOLD and _PLAIN.fullmatch(value)
        told.append(f"{name}={value}" if plain else f"{name} is {'set' if value else 'empty'}")
    return told


def shapes(profiles: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The profiles by number, with the names of their keys."""
    listed = sorted(profiles.items(), key=lambda pair: pair[0] != "default")
    return [
        f"{'[default]' if name == 'default' else f'profile {number}'}: {', '.join(sorted(keys))}"
        for number, (name, keys) in enumerate(listed[:20])
    ]


def text(parts: Iterable[tuple[str, Sequence[str]]], redact: Redactor) -> str:
    """The whole report: headed parts of redacted lines."""
    lines = ["borrow doctor --report", ""]
    for title, told in parts:
        lines += [f"## {title}", *(redact(line) for line in told), ""]
    return "\n".join(lines)


def write(path: Path, content: str) -> None:
    """A new 0600 file; what is there already is not touched."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        handle = os.open(path, flags, 0o600)
    except FileExistsError:
        raise Misconfigured(f"{path} is there already", hint="name another file") from None
    except OSError as exc:
        why = (exc.strerror or "failed").lower()
        raise Misconfigured(f"cannot write {path}: {why}", hint="name another file") from exc
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
