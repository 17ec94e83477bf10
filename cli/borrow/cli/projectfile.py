"""`.borrow.toml`: which role a project's commands borrow. Pure.

    role = "dev-read"                    # for `borrow run -- COMMAND`, and what no pattern names

    [commands]
    "terraform *" = "dev-read"
    "terraform apply*" = "prod-write"    # of all patterns that fit, the one with most letters wins

    [profiles]
    prod = "prod-write"                  # the profile `prod` stands for this role in such a run

A pattern begins with the plain name of one program, because that name becomes a function of the
shell; `*` and `?` stand for what follows. The file can only choose among roles that its reader may
borrow anyway, and chooses nothing before it is trusted (`borrow.cli.trust`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from borrow.protocol.errors import Misconfigured
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE: Final = ".borrow.toml"
MAX_FILE: Final = 64 << 10  # bytes
MAX_LINE: Final = 1000  # bytes; tomllib takes seconds of a prompt for a key of 20,000 dots
MOST: Final = 200  # patterns, and profiles
HINT: Final = 'write it like `"terraform apply*" = "prod-write"` below `[commands]`'
_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)  # as in borrow.protocol.request
_PROGRAM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
# Functions that a shell calls by itself, where they are there.
_CALLED_BY_SHELLS: Final = re.compile(r"TRAP[A-Z0-9]+|fish_.*|command_not_found_handler?")
# Words of the shells themselves, and what a shell is started or steered with: a function of such a
# name would change what the shell does, not which role a program gets.
_NOT_PROGRAMS: Final = frozenset(
    re.findall(
        r"\w+",
        "alias and autoload begin bg bind break builtin case cd command complete continue coproc "
        "declare dirs disown do done echo elif else enable end env esac eval exec exit export "
        "false fc fg fi for function functions getopts hash help history if in integer jobs kill "
        "let limit local logout mapfile nocorrect noglob not or popd printf pushd pwd read "
        "readarray readonly rehash repeat return select set setopt shift shopt source status "
        "string su sudo suspend switch test then time times trap true type typeset ulimit umask "
        "unalias unfunction unset unsetopt until vared wait where whence which while zle zmodload "
        "zstyle bash dash fish ksh pwsh sh zsh borrow abbr argparse bindkey block breakpoint "
        "caller commandline compgen compopt count dirs doas emulate funced funcsave functions "
        "nextd pkexec precmd preexec chpwd periodic prevd print prompt pushln run0 sched set_color "
        "setenv ttyctl zcompile zformat zparseopts zshaddhistory zshexit",
    )
)


class Project(NamedTuple):
    """What one file says. `commands` and `profiles` are (pattern or name, role)."""

    role: str
    commands: tuple[tuple[str, str], ...]
    profiles: tuple[tuple[str, str], ...]

    def programs(self) -> tuple[str, ...]:
        """The programs that the patterns begin with, each once."""
        return tuple(dict.fromkeys(pattern.split(" ", 1)[0] for pattern, _ in self.commands))

    def role_for(self, command: Sequence[str]) -> str:
        """The role for `command`: of the fitting pattern with most letters, else the project's.

        "" where it names none.
        """
        lines = _lines(command)
        fitting = [
            (len(re.sub(r"[*?]", "", pattern)), role)
            for pattern, role in self.commands
            if any(fits(pattern, line) for line in lines)
        ]
        return max(fitting, key=lambda each: each[0])[1] if fitting else self.role


def _lines(command: Sequence[str]) -> tuple[str, ...]:
    """The command as patterns see it: as typed, and without options before the first word."""
    name = command[0].rpartition("/")[2]
    rest = list(command[1:])
    while rest and rest[0].startswith("-"):  # terraform -chdir=prod apply
        rest.pop(0)
    return " ".join([name, *command[1:]]), " ".join([name, *rest])


def fits(pattern: str, text: str) -> bool:
    """`*` any text, `?` one character; `terraform *` fits `terraform` alone too."""
    head = pattern.removesuffix(" *")
    return _matches(pattern, text) or (head != pattern and _matches(head, text))


def _matches(pattern: str, text: str) -> bool:
    """By looking back to the last `*` only: a pattern of many cannot make it take long."""
    at, seen, star, taken = 0, 0, -1, 0
    while seen < len(text):
        sign = pattern[at] if at < len(pattern) else ""
        if sign == "*":
            star, taken, at = at, seen, at + 1
        elif sign and sign in ("?", text[seen]):
            at, seen = at + 1, seen + 1
        elif star >= 0:
            taken += 1
            at, seen = star + 1, taken
        else:
            return False
    return not pattern[at:].strip("*")


def parse(data: bytes) -> Project:
    """What the file says. Raises Misconfigured that names the line or the member at fault."""
    import tomllib  # late: a trusted file's content is remembered in another form

    if len(data) > MAX_FILE:
        raise Misconfigured(f"{FILE} is larger than {MAX_FILE >> 10} KiB", hint=HINT)
    if any(len(line) > MAX_LINE for line in data.splitlines()):
        raise Misconfigured(f"{FILE} has a line of more than {MAX_LINE} bytes", hint=HINT)
    try:
        told = tomllib.loads(data.decode())
    except (UnicodeDecodeError, ValueError, RecursionError) as exc:
        why = shown(str(exc), 120) if isinstance(exc, tomllib.TOMLDecodeError) else "not a text"
        raise Misconfigured(f"{FILE} cannot be read: {_lowered(why)}", hint=HINT) from exc
    if odd := sorted(told.keys() - {"role", "commands", "profiles"}):
        raise Misconfigured(
            f"{FILE} has no member {shown(odd[0], 40)!r}", hint="allowed: role, commands, profiles"
        )
    role = told.get("role", "")
    commands = _pairs(told.get("commands", {}), "commands")
    profiles = _pairs(told.get("profiles", {}), "profiles")
    project = Project(_role(role, "role") if role != "" else "", commands, profiles)
    for pattern, _ in commands:
        _check_pattern(pattern)
    return project


def _pairs(told: Any, name: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(told, dict):
        raise Misconfigured(f"{name} in {FILE} is no table", hint=HINT)
    if len(told) > MOST:
        raise Misconfigured(f"{name} in {FILE} has more than {MOST} entries", hint=HINT)
    return tuple((str(key), _role(value, str(key))) for key, value in told.items())


def _role(value: object, where: str) -> str:
    if isinstance(value, str) and _ROLE.fullmatch(value):
        return value
    raise Misconfigured(
        f"{shown(where, 60)!r} in {FILE} names no role: {_written(value)}",
        hint="`borrow roles` lists them",
    )


def _written(value: object) -> str:
    """Text as it stands; of all else the kind, for a table can be too deep to be written down."""
    return repr(shown(value, 60)) if isinstance(value, str) else f"a {type(value).__name__}"


def _check_pattern(pattern: str) -> None:
    program = pattern.split(" ", 1)[0]
    if not _PROGRAM.fullmatch(program):
        raise Misconfigured(
            f"{shown(pattern, 60)!r} in {FILE} does not begin with a program's plain name",
            hint=HINT,
        )
    if program in _NOT_PROGRAMS or _CALLED_BY_SHELLS.fullmatch(program):
        raise Misconfigured(
            f"{program!r} in {FILE} belongs to the shell and cannot be given a role", hint=HINT
        )
    if not pattern.isprintable() or len(pattern) > 200:
        raise Misconfigured(f"{shown(pattern, 60)!r} in {FILE} cannot be a command", hint=HINT)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
