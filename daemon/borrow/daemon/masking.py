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
_LONG = (
    r"(?:passw(?:or)?d|passphrase|passcode|secret|token|(?:api|access|private|account|session"
    r"|encryption|master)[-_]?key|credentials?|authorization|signature)"
)
# Short words occur inside others: `--pinned`, `--author` and `--compass` stay.
_SHORT_WORD = r"(?<![a-z])(?:pass|pwd|auth|bearer|cookie|otp|totp|pin|sig|sas)"
_SECRET_NAME = rf"[\w.\-]*(?:{_LONG}|{_SHORT_WORD})(?![a-z])[\w.\-]*"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_IS_SECRET_NAME = re.compile(_SECRET_NAME, re.IGNORECASE)
_IS_SCRIPT_FLAG = re.compile(r"-[a-z]*c")  # sh -c, bash -lc, python -c
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
        is_script = position > 0 and _IS_SCRIPT_FLAG.fullmatch(argv[position - 1]) is not None
        out.append(_mask_inside(arg) if is_script else _mask_one(arg))
        hide_next = position > 0 and (_is_secret_flag(arg) or arg in _USER_FLAGS)
    return tuple(out)


def _is_secret_flag(arg: str) -> bool:
    return _IS_FLAG.fullmatch(arg) is not None and _names_a_secret(arg.lstrip("-"))


def _names_a_secret(name: str) -> bool:
    # adminPassword is admin-Password to the rule.
    return _IS_SECRET_NAME.fullmatch(_CAMEL.sub("-", name)) is not None


def _mask_one(arg: str) -> str:
    if whole := _ASSIGNED.fullmatch(arg):
        head = f"{whole[1] or ''}{whole[2]}{whole[3]}"
        if _names_a_secret(whole[2]):
            return head + MASK
        if (inner := _ASSIGNED.fullmatch(whole[4])) and _names_a_secret(inner[2]):
            return f"{head}{inner[1] or ''}{inner[2]}{inner[3]}{MASK}"  # --env=API_TOKEN=...
    return _mask_inside(arg)


def _mask_inside(arg: str) -> str:
    """Only the secrets within: a script masked from its first secret on would hide what it does."""
    arg = _URL_USER.sub(rf"\g<head>:{MASK}@", arg)
    arg = _URL_QUERY.sub(rf"\g<head>{MASK}", arg)
    if any(char.isspace() for char in arg):
        arg = _INNER_ASSIGNED.sub(rf"\g<name>\g<by>{MASK}", arg)
    return _TOKENS.sub(MASK, arg)
