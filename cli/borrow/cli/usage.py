"""Wrong use and its cure: whatever was typed, the hint is the line that was probably meant.

Pure: words in, words out. The lines are shown, never run.
"""

from __future__ import annotations

import re
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

from borrow.cli.errors import WrongUse
from borrow.cli.group import ALIASES, COMMANDS, HIDDEN
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

# What other tools call it, or people would. The rest of the line is kept.
FOREIGN: Final = {
    "accept": "approve",
    "add": "keys add",
    "allow": "approve",
    "assume": "run",
    "audit-log": "audit export",
    "check": "doctor",
    "creds": "env",
    "decline": "deny",
    "diagnose": "doctor",
    "elevate": "ask",
    "enrol": "join",
    "enroll": "join",
    "exec": "run",
    "export": "env",
    "get": "ask",
    "give-back": "return",
    "grant": "approve",
    "init": "setup",
    "install": "setup",
    "invite": "server invite",
    "list": "roles",
    "login": "join",
    "logout": "return --all",
    "logs": "daemon logs",
    "ls": "roles",
    "notme": "not-me",
    "pending": "inbox",
    "reject": "deny",
    "release": "return",
    "renew": "extend",
    "report": "not-me",
    "request": "ask",
    "requests": "inbox",
    "restart": "daemon start",
    "revoke": "return",
    "serve": "server serve",
    "start": "daemon start",
    "status": "",
    "stop": "daemon stop",
    "sudo": "run",
    "use": "run",
    "verify": "audit verify",
    "version": "--version",
    "whoami": "",
    "why": "explain",
    "yes": "approve",
}
_KNOWN_TOOLS: Final = frozenset(
    {"aws", "cdk", "docker", "helm", "kubectl", "make", "node", "npm", "npx", "packer", "pulumi"}
    | {"pytest", "python", "python3", "sam", "serverless", "sh", "bash", "terraform", "tofu", "uv"}
)
_DURATION: Final = re.compile(r"\d+[smhd](\d+[smhd])*")


def joined(words: Sequence[str]) -> str:
    """A command line as it would be typed, on one line and short."""
    line = shlex.join(words)
    return shown(line, 200)


def is_placeholder(text: str) -> bool:
    return text.isupper()


def unknown_command(args: Sequence[str]) -> WrongUse:
    """No command has that name."""
    word, rest = args[0], list(args[1:])
    message = f"there is no command {word[:40]!r}"
    names = [name for name, entry in COMMANDS.items() if entry.block != HIDDEN]
    near = get_close_matches(word, [*names, *ALIASES, *FOREIGN], n=1, cutoff=0.6)
    if near and word not in _KNOWN_TOOLS and near[0] not in (*names, *ALIASES):
        word = near[0]
    if word in FOREIGN:
        return WrongUse(message, hint=" ".join(["borrow", *_line(FOREIGN[word], rest)]).strip())
    if word in _KNOWN_TOOLS:
        return WrongUse(message, hint=f"borrow run ROLE -- {joined(args)}")
    if near:
        return WrongUse(message, hint=" ".join(["borrow", near[0], *_quoted(rest)]))
    return WrongUse(message, hint="`borrow --help` lists the commands")


def _line(ours: str, rest: list[str]) -> list[str]:
    """Our command with the rest of what was typed; a `run` gets its `--`."""
    if ours == "run" and rest and "--" not in rest:
        return ["run", *_run_words(rest, known=())]
    if not ours:
        return ["--json"] if "--json" in rest else []
    return [ours, *_quoted(rest)]


def _quoted(words: Sequence[str]) -> list[str]:
    return [joined(words)] if words else []


def run_line(words: Sequence[str], known: Sequence[str]) -> str:
    """`borrow run` as it was meant, for words without `--`. `known` are role names, if known."""
    return " ".join(["borrow", "run", *_run_words(list(words), known)])


def _run_words(words: list[str], known: Sequence[str]) -> list[str]:
    options, rest = _leading_options(words)
    if not rest:
        return [*_quoted(options), "ROLE", "--", "COMMAND"]
    first, others = rest[0], rest[1:]
    is_role = first in known or (first not in _KNOWN_TOOLS and bool(others) and _role_like(first))
    if not is_role:
        return [*_quoted(options), "ROLE", "--", joined(rest)]
    more, command = _leading_options(others)
    return [
        *_quoted(options),
        first,
        *_quoted(more),
        "--",
        joined(command) if command else "COMMAND",
    ]


def _role_like(word: str) -> bool:
    """Role names look like `prod-admin`; programs rarely have a dash, and paths have a slash."""
    return re.fullmatch(r"[a-z0-9][a-z0-9._]*-[a-z0-9._-]*", word) is not None


def _leading_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Our own options at the head of `words`, each with its value."""
    valued = {"-m", "--reason", "--ticket", "--for", "--agent", "--profile"}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] in valued else 1
    return words[:at], words[at:]


def corrected(error: click.UsageError, argv: Sequence[str]) -> WrongUse:
    """click's words as ours: lower case, no full stop, and a hint that can be typed."""
    if isinstance(error, WrongUse):
        return error
    path = error.ctx.command_path if error.ctx else "borrow"
    message = _lowered(error.format_message())
    if isinstance(wrong := getattr(error, "command_name", None), str):  # click 8.4 tells it apart
        near = get_close_matches(wrong, _subcommands(error), n=1)
        return WrongUse(
            f"{path} has no command {wrong[:40]!r}",
            hint=_swap(argv, wrong, near[0]) if near else _usage(error),
        )
    match error:
        case click.exceptions.NoArgsIsHelpError():
            return WrongUse(f"{path} lacks a command", hint=_usage(error))
        case click.NoSuchOption():
            bare = error.option_name.strip("-")
            near = [
                each
                for each in error.possibilities or ()
                if get_close_matches(bare, [each.strip("-")], cutoff=0.65)
            ]
            return WrongUse(
                f"{path} has no option {error.option_name[:40]}",
                hint=_swap(argv, error.option_name, near[0]) if near else _usage(error),
            )
        case click.MissingParameter():
            return WrongUse(f"{path} lacks {_name_of(error.param)}", hint=_usage(error))
        case click.BadParameter():
            return WrongUse(message, hint=_usage(error))
        case _:
            return WrongUse(message, hint=_usage(error))


def _swap(argv: Sequence[str], wrong: str, right: str) -> str:
    words = [right + word[len(wrong) :] if _is_option(word, wrong) else word for word in argv]
    return f"borrow {joined(words)}"


def _is_option(word: str, wrong: str) -> bool:
    return word == wrong or word.startswith(f"{wrong}=")


def _usage(error: click.UsageError) -> str:
    """The command's own shape, such as `borrow extend ROLE DURATION`."""
    if error.ctx is None:
        return "borrow --help"
    if error.ctx.parent is None:
        return "`borrow --help` lists the commands"
    if names := _subcommands(error):
        return f"{error.ctx.command_path} {'|'.join(names)}"
    pieces = error.ctx.command.collect_usage_pieces(error.ctx)
    wanted = [
        f"{_name_of(each)} {each.make_metavar(error.ctx)}"
        for each in error.ctx.command.get_params(error.ctx)
        if isinstance(each, click.Option) and each.required
    ]
    shape = " ".join([*(piece for piece in pieces if piece != "[OPTIONS]"), *wanted])
    return f"{error.ctx.command_path} {shape}".strip()


def _name_of(param: click.Parameter | None) -> str:
    match param:
        case None:
            return "an argument"
        case click.Option():
            return max(param.opts, key=len)
        case _:
            return param.human_readable_name.upper()


def _subcommands(error: click.UsageError) -> list[str]:
    """The commands of the group that was wrongly used; empty for a command."""
    group = error.ctx.command if error.ctx else None
    return group.list_commands(error.ctx) if error.ctx and isinstance(group, click.Group) else []


def _lowered(message: str) -> str:
    flat = " ".join(message.split()).rstrip(".")
    return flat[:1].lower() + flat[1:]
