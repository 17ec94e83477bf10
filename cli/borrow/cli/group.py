"""The command table: names, one line each, and where they live. Nothing is imported before use.

`borrow --help` is written from this table; a command's module is imported when it runs, so that
`borrow run` pays for itself alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import override as override  # re-exported
else:  # Python 3.11 has no typing.override, and typing_extensions costs what click costs

    def override(method: Any) -> Any:
        return method


BORROWING, ANSWERING, RUNNING, HIDDEN = "Borrowing", "Answering", "Running it", ""


@dataclass(frozen=True, slots=True)
class Entry:
    block: str
    place: str  # module:attribute, below borrow.cli
    short: str


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry(BORROWING, "running:run", "Run a command with a role: run ROLE -- COMMAND."),
    "ask": Entry(BORROWING, "asking:ask", "Ask for a role, before you need it."),
    "roles": Entry(BORROWING, "catalogue:roles", "Which roles you may borrow."),
    "return": Entry(BORROWING, "holding:give_back", "Give a role back (also: done)."),
    "extend": Entry(BORROWING, "holding:extend", "Keep a role for longer."),
    "explain": Entry(BORROWING, "holding:explain", "Why: a request, a grant or a role."),
    "env": Entry(BORROWING, "running:env", "A role for this shell, to be evaluated by it."),
    "trust": Entry(BORROWING, "trust:trust", "Let this project choose roles for its commands."),
    "untrust": Entry(BORROWING, "trust:untrust", "Let this project choose nothing any more."),
    "hook": Entry(BORROWING, "hook:hook", "Prompt, project roles and completion for your shell."),
    "console": Entry(BORROWING, "console:console", "The cloud's own pages, signed in with a role."),
    "inbox": Entry(ANSWERING, "answering:inbox", "Requests that wait for your answer."),
    "approve": Entry(ANSWERING, "answering:approve", "Say yes to a request."),
    "deny": Entry(ANSWERING, "answering:deny", "Say no to a request."),
    "not-me": Entry(ANSWERING, "answering:not_me", "That was not me: stop and freeze it."),
    "prompt": Entry(
        ANSWERING, "prompting:prompt", "The window: answer a request, or ask for a role."
    ),
    "unfreeze": Entry(ANSWERING, "unfreezing:unfreeze", "Work again after that, in solo mode."),
    "setup": Entry(RUNNING, "setting_up:setup", "Set Borrow up for yourself, on this machine."),
    "join": Entry(RUNNING, "joining:join", "Join a team with an invitation."),
    "doctor": Entry(RUNNING, "doctor:doctor", "Look for what is wrong here."),
    "profiles": Entry(RUNNING, "profiles:profiles", "Roles as profiles in your AWS config."),
    "passkey": Entry(RUNNING, "passkeys:passkey", "Your phone's and browsers' passkeys."),
    "totp": Entry(RUNNING, "authenticator:totp", "Your authenticator app."),
    "keys": Entry(RUNNING, "basekeys:keys", "The base keys of solo mode."),
    "imds": Entry(RUNNING, "imds:imds", "Serve one role as instance credentials."),
    "policy": Entry(RUNNING, "policies:policy", "Check, test and explain the policy."),
    "audit": Entry(RUNNING, "audit:audit", "Verify and export the log."),
    "tray": Entry(RUNNING, "tray:tray", "The icon on your desktop, with notifications."),
    "daemon": Entry(RUNNING, "daemons:daemon", "Start, stop and watch the daemon."),
    "server": Entry(RUNNING, "servers:server", "Run a team's approver."),
    "docker": Entry(RUNNING, "docker:docker", "Roles for containers."),
    "mcp": Entry(RUNNING, "mcp:mcp", "Let a coding agent ask, by its own protocol."),
    "conformance": Entry(
        RUNNING, "conformance:conformance", "Check any credential endpoint against SDKs' needs."
    ),
    "demo": Entry(RUNNING, "demonstration:demo", "See it work, with a private stand-in for AWS."),
    "credential": Entry(HIDDEN, "running:credential", "For credential_process in AWS profiles."),
}
ALIASES: Final = {"done": "return"}


class ReaderLeft(Exception):
    """Nobody reads our output any more (`| head -1`), and that is fine."""


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Told before click sees it, which would make a failure of it."""
    try:
        yield
    except BrokenPipeError as exc:
        raise ReaderLeft from exc


class BorrowGroup(click.Group):
    """Loads commands from `COMMANDS` and writes the help in blocks."""

    @override
    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **more: Any,
    ) -> click.Context:
        with _reader_may_leave():
            return super().make_context(info_name, args, parent, **more)

    @override
    def invoke(self, ctx: click.Context) -> Any:
        with _reader_may_leave():
            return super().invoke(ctx)

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, entry in COMMANDS.items() if entry.block != HIDDEN]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        return cast("click.Command", getattr(import_module(f"borrow.cli.{module}"), attribute))

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from borrow.cli.usage import unknown_command

            raise unknown_command(args)
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for block in (BORROWING, ANSWERING, RUNNING):
            rows = [(name, entry.short) for name, entry in COMMANDS.items() if entry.block == block]
            with formatter.section(block):
                formatter.write_dl(rows)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(
            "Exit codes: 0 done, 1 error, 2 wrong use, 3 refused, 4 nobody answered or nothing "
            "reachable, 130 interrupted. Most commands take --json."
        )
        formatter.write_text('Completion: eval "$(_BORROW_COMPLETE=bash_source borrow)"')


def completions(
    names: Sequence[str], incomplete: str
) -> list[click.shell_completion.CompletionItem]:
    """Shells put these into the line as they are: a name with more than plain letters is none."""
    from click.shell_completion import CompletionItem

    plain = (name for name in names if name.isascii() and set("._-").issuperset(_marks(name)))
    return [CompletionItem(name) for name in plain if name.startswith(incomplete)]


def _marks(name: str) -> set[str]:
    return {char for char in name if not char.isalnum()}


@click.group(
    cls=BorrowGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.version_option(package_name="borrow", prog_name="borrow", message="%(prog)s %(version)s")
@click.pass_context
def borrow(ctx: click.Context, *, as_json: bool) -> int | None:
    """Borrow privileges, don't own them.

    A program that needs a role waits while the right person is asked, and goes on after a yes.
    Alone, `borrow` shows what you hold, what you asked for, and what you are asked.
    """
    if ctx.invoked_subcommand is not None:
        return None
    from borrow.cli.overview import overview

    return overview(as_json=as_json)
