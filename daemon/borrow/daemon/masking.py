"""Secrets that people put on command lines, taken out before anybody is shown the command.

An approver should see *what* runs, and the audit keeps that line for years: `--password hunter2`
must be `--password ***` in both. Pure text to text. It errs on the side of hiding; it cannot know
every program's habits, so what it returns is still treated as text of the caller.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MASK: Final = "***"

# A name that holds one of these words is the name of a secret: DB_PASSWORD, --client-secret.
_NAMING = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|account[-_]?key|session[-_]?key|encryption[-_]?key|master[-_]?key|credentials?|authorization"
    r"|auth|bearer|cookie|otp|totp|pin|signature|sig|sas)"
)
# A word is bounded by anything but a letter, so `--pinned` and `--author` stay.
_SECRET_NAME = rf"[\w.\-]*(?<![a-z]){_NAMING}(?![a-z])[\w.\-]*"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_IS_SECRET_NAME = re.compile(_SECRET_NAME, re.IGNORECASE)
_IS_FLAG = re.compile(r"--?[A-Za-z][\w.\-]*")
_ASSIGNED = re.compile(r"(--?|/)?([A-Za-z_][\w.\-\[\]]*)([=:])(.+)", re.DOTALL)

# The same, inside a longer string such as the argument of `sh -c`.
_INNER_ASSIGNED = re.compile(
    rf"(?<![\w\-])(?P<name>-{{0,2}}{_SECRET_NAME})(?P<by>\s*[=:]\s*|\s+(?=[^\s\-|&;]))"
    r"(?P<value>(?:bearer|basic|token)\s+\S+|\"[^\"]*\"|'[^']*'|[^\s&;|]+)",
    re.IGNORECASE,
)
_URL_USER = re.compile(r"(?P<head>\b[a-z][a-z0-9+.\-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)
_URL_QUERY = re.compile(rf"(?P<head>[?&#]{_SECRET_NAME}=)[^&#\s]+", re.IGNORECASE)

# Values that betray themselves, wherever they stand.
_TOKENS = re.compile(
    r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w\-]{16,}|\bxox[a-z]-[\w\-]{10,}"
    r"|\bsk[-_][\w\-]{16,}|\bAGE-SECRET-KEY-\w+|\bnpm_\w{20,}|\bpypi-[\w\-]{20,}"
    r"|\beyJ[\w\-]{8,}\.[\w\-]+\.[\w\-]*|-----BEGIN .*"
    # An AWS secret key: 40 characters of base64 that are no hex digest.
    r"|(?<![\w/+])(?=[\w/+]*[a-z])(?=[\w/+]*[A-Z])(?=[\w/+]*\d)[A-Za-z0-9/+]{40}(?![\w/+=])",
    re.DOTALL,
)

# Programs whose short flag takes a secret, glued (`-phunter2`) or as the next argument.
_SHORT: Final[dict[str, str]] = {
    "mysql": "-p",
    "mysqldump": "-p",
    "mysqladmin": "-p",
    "mariadb": "-p",
    "sshpass": "-p",
    "redis-cli": "-a",
    "ldapsearch": "-w",
    "smbclient": "-U",
    "curl": "-u",
    "wget": "-u",
    "http": "-a",
    "https": "-a",
}
_GLUED_ONLY: Final = frozenset({"mysql", "mysqldump", "mysqladmin", "mariadb"})
_USER_FLAGS: Final = frozenset({"--user", "--proxy-user"})


def mask_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv` with the values that are or may be secrets replaced by `***`."""
    program = argv[0].rpartition("/")[2] if argv else ""
    short = _SHORT.get(program)
    out: list[str] = []
    hide_next = False
    for position, arg in enumerate(argv):
        if hide_next and not (arg.startswith("--") and len(arg) > 2):
            out.append(MASK)
            hide_next = False
            continue
        hide_next = False
        if position and short and arg.startswith(short) and not arg.startswith("--"):
            glued = len(arg) > len(short)
            out.append(short + MASK if glued else arg)
            hide_next = not glued and program not in _GLUED_ONLY
            continue
        out.append(_mask_one(arg))
        hide_next = position > 0 and (_is_secret_flag(arg) or arg in _USER_FLAGS)
    return tuple(out)


def _is_secret_flag(arg: str) -> bool:
    return _IS_FLAG.fullmatch(arg) is not None and _names_a_secret(arg.lstrip("-"))


def _names_a_secret(name: str) -> bool:
    # adminPassword is admin-Password to the rule.
    return _IS_SECRET_NAME.fullmatch(_CAMEL.sub("-", name)) is not None


def _mask_one(arg: str) -> str:
    if (whole := _ASSIGNED.fullmatch(arg)) and _names_a_secret(whole[2]):
        return f"{whole[1] or ''}{whole[2]}{whole[3]}{MASK}"
    arg = _URL_USER.sub(rf"\g<head>:{MASK}@", arg)
    arg = _URL_QUERY.sub(rf"\g<head>{MASK}", arg)
    if any(char.isspace() for char in arg):
        arg = _INNER_ASSIGNED.sub(rf"\g<name>\g<by>{MASK}", arg)
    return _TOKENS.sub(MASK, arg)
