"""`borrow run` and `borrow env`: a role for one command, or for one shell.

`run` becomes the command by exec: its process id, signals, terminal and exit code are the
command's own, and nothing of Borrow stays between. The role itself is asked for when the command
first wants it; only what its rule needs first (a reason, a ticket) is asked here, at the terminal.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from borrow.cli import say
from borrow.cli.completing import complete_role
from borrow.cli.errors import WrongUse
from borrow.cli.group import override
from borrow.cli.options import checked_duration, duration, role_argument
from borrow.cli.wrapping import Wrapping

if TYPE_CHECKING:
    from borrow.cli.environment import Shell


class RunCommand(Wrapping):
    @override
    def without_dashes(self, args: list[str]) -> WrongUse:
        from borrow.cli.usage import run_line

        hint = run_line(args, _known_roles())
        return WrongUse("borrow run wants `--` before the command", hint=hint)


def _known_roles() -> list[str]:
    """Role names of a daemon that runs; wrong use starts none."""
    from borrow.cli.catalogue import names

    return names(start=False)


@click.command(
    cls=RunCommand,
    options_metavar="[-m REASON] [--ticket T] [--for 1h]",
    epilog="Example: borrow run prod-read -- aws s3 ls",
)
@click.argument("role", default="", shell_complete=complete_role, metavar="[ROLE]")
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option(
    "--for", "seconds", default="", callback=checked_duration, help="How long, such as 30m or 2h."
)
@click.option("--elevate", is_flag=True, help="Ask for the role that a denied call needs.")
@click.option("--agent", default="", metavar="NAME", help="The command is this coding agent.")
@click.option(
    "--profile", "profiles", multiple=True, metavar="NAME",
    help="A profile of your AWS config that the role stands for.",
)  # fmt: skip
@click.option("--here", is_flag=True, help="The role that this project has for the command.")
@click.option("--dry-run", is_flag=True, help="Show what would be set, and start nothing.")
@click.pass_context
def run(
    ctx: click.Context,
    role: str,
    *,
    reason: str,
    ticket: str,
    seconds: str,
    elevate: bool,
    agent: str,
    profiles: tuple[str, ...],
    here: bool,
    dry_run: bool,
) -> int:
    """Run a command with a role: borrow run ROLE -- COMMAND.

    The command's cloud calls wait while the right person is asked. Its environment holds no other
    credentials; regions, settings and profile names of your AWS configuration stay. Without ROLE
    the project's own is taken, from a `.borrow.toml` that you trust.
    """
    from borrow.cli.quickrun import Line, go

    command: tuple[str, ...] = ctx.obj or ()
    if not command:
        raise WrongUse("borrow run lacks a command", hint=f"borrow run {role or 'ROLE'} -- COMMAND")
    if role and here:
        raise WrongUse("either ROLE or --here", hint=f"borrow run {role} -- {command[0]}")
    line = Line(command, role, reason, ticket, seconds, agent, profiles, elevate, here)
    return go(line, dry=dry_run)


@click.command(epilog='Example: eval "$(borrow env prod-read)"')
@role_argument
@click.option(
    "--shell", type=click.Choice(("bash", "zsh", "fish", "pwsh")), help="Default: by $SHELL."
)
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option("--for", "seconds", callback=duration, help="How long, such as 30m or 2h.")
@click.option(
    "--profile", "profiles", multiple=True, metavar="NAME",
    help="A profile of your AWS config that the role stands for.",
)  # fmt: skip
def env(
    role: str,
    *,
    shell: str | None,
    reason: str,
    ticket: str,
    seconds: int,
    profiles: tuple[str, ...],
) -> None:
    """Print what makes this shell use a role; meant to be evaluated by it.

    It holds the address and this terminal session's token for it, so it is not shown on a
    terminal. What the shell starts inherits it; it is worth nothing once the session has ended.
    """
    from borrow.cli.environment import script
    from borrow.cli.home import open_home
    from borrow.cli.launch import running
    from borrow.cli.lending import Wish, for_shell

    chosen = cast("Shell", shell) if shell else _shell_of(os.environ.get("SHELL", ""))
    if say.is_terminal(sys.stdout):
        raise WrongUse("what `borrow env` prints holds a token", hint=_evaluated(role, chosen))
    home = open_home()
    wish = Wish(role, reason, ticket, seconds, profiles=tuple((name, role) for name in profiles))
    sys.stdout.write(script(for_shell(home, running(home), wish), chosen, os.environ))


def _shell_of(path: str) -> Shell:
    name = Path(path).name
    return cast("Shell", name) if name in ("zsh", "fish", "pwsh") else "bash"


def _evaluated(role: str, shell: Shell) -> str:
    match shell:
        case "bash" | "zsh":
            return f'eval "$(borrow env {role})"'
        case "fish":
            return f"borrow env {role} --shell fish | source"
        case "pwsh":
            return f"borrow env {role} --shell pwsh | Out-String | Invoke-Expression"


@click.command(hidden=True)
@role_argument
def credential(role: str) -> None:
    """Print credentials for `credential_process` in an AWS profile; waits for the yes.

    The console script does this before click is imported; here is its help.
    """
    from borrow.daemon import credential_process as helper

    sys.exit(helper.main([role]))
