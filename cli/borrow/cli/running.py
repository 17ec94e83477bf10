"""`borrow run` and `borrow env`: a role for one command, or for one shell.

`run` becomes the command by exec: its process id, signals, terminal and exit code are the
command's own, and nothing of Borrow stays between. The role itself is asked for when the command
first wants it; only what its rule needs first (a reason, a ticket) is asked here, at the terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from borrow.cli import say
from borrow.cli.environment import MONITORING
from borrow.cli.errors import NOT_EXECUTABLE, NOT_FOUND, NotRunnable, WrongUse
from borrow.cli.group import override
from borrow.cli.options import ask_for, duration, needed_options, role_argument
from borrow.protocol.errors import BorrowError, Needs, Untrusted

if TYPE_CHECKING:
    from borrow.cli.client import Control
    from borrow.cli.environment import Change, Lease, Shell
    from borrow.cli.home import Home

_RUN_SHAPE = "borrow run ROLE -- COMMAND"


class RunCommand(click.Command):
    """Wants the `--`: without it nobody can tell the command's options from ours."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            if any(word in ctx.help_option_names for word in args) or ctx.resilient_parsing:
                return super().parse_args(ctx, args)
            raise _no_dashes(args)
        cut = args.index("--")
        ctx.obj = tuple(args[cut + 1 :])
        before = args[:cut]
        if not any(not word.startswith("-") for word in before):
            command = " ".join(ctx.obj) or "COMMAND"
            raise WrongUse("borrow run lacks ROLE", hint=f"borrow run ROLE -- {command}")
        return super().parse_args(ctx, before)

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND"]


def _no_dashes(args: list[str]) -> WrongUse:
    from borrow.cli.usage import run_line

    return WrongUse("borrow run wants `--` before the command", hint=run_line(args, _known_roles()))


def _known_roles() -> list[str]:
    """Role names of a daemon that runs; wrong use starts none."""
    from borrow.cli.catalogue import names

    return names(start=False)


@click.command(
    cls=RunCommand,
    options_metavar="[-m REASON] [--ticket T] [--for 1h]",
    epilog="Example: borrow run prod-read -- aws s3 ls",
)
@role_argument
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option("--for", "seconds", callback=duration, help="How long, such as 30m or 2h.")
@click.option("--elevate", is_flag=True, help="Ask for the role that a denied call needs.")
@click.pass_context
def run(
    ctx: click.Context, role: str, *, reason: str, ticket: str, seconds: int, elevate: bool
) -> None:
    """Run a command with a role: borrow run ROLE -- COMMAND.

    The command's cloud calls wait while the right person is asked. Its environment holds no other
    credentials; regions, settings and profile names of your AWS configuration stay.
    """
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    command: tuple[str, ...] = ctx.obj or ()
    if not command:
        raise WrongUse("borrow run lacks a command", hint=f"borrow run {role} -- COMMAND")
    path = _found(command[0])
    home = open_home()
    lease = _lease(
        running(home),
        role,
        reason=reason,
        ticket=ticket,
        seconds=seconds,
        run=True,
        elevate=elevate,
    )
    change = _change(home, lease)
    _become(path, command, change.apply(os.environ))


def _found(name: str) -> str:
    """The program's path, by the caller's PATH; raises what a shell would say."""
    path = shutil.which(name)
    if path is not None:
        return path
    if "/" in name and Path(name).exists():
        raise NotRunnable(
            f"cannot run {name!r}: permission denied",
            hint=f"is it executable? ls -l {name}",
            exit_code=NOT_EXECUTABLE,
        )
    raise NotRunnable(
        f"cannot run {name!r}: command not found", hint="check the spelling and PATH",
        exit_code=NOT_FOUND,
    )  # fmt: skip


def _become(path: str, command: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, command, environment)  # noqa: S606  running it is the purpose
    except OSError as exc:
        raise NotRunnable(
            f"cannot run {command[0]!r}: {(exc.strerror or 'failed').lower()}",
            hint="is it a program for this system?",
            exit_code=NOT_EXECUTABLE,
        ) from exc


def _lease(
    client: Control,
    role: str,
    *,
    reason: str,
    ticket: str,
    seconds: int,
    run: bool = False,
    elevate: bool = False,
) -> Lease:
    from borrow.cli.environment import Lease

    reason = reason or os.environ.get("BORROW_REASON", "")

    given = {"reason": reason, "ticket": ticket}
    body: dict[str, Any] = {"role": role, **{k: v for k, v in given.items() if v}}
    body |= {"seconds": seconds} if seconds else {}
    body |= {name: 1 for name, wanted in (("run", run), ("elevate", elevate)) if wanted}
    try:
        answer = client.post("/v1/bearers", body)
        if more := _asked_first(client, role, answer.get("needs"), given):
            answer = client.post("/v1/bearers", body | more)
    except BorrowError as exc:
        from borrow.cli.catalogue import with_suggestions

        raise with_suggestions(exc, role, client, "borrow run {} -- COMMAND") from exc
    parts = [answer.get(name, "") for name in ("url", "bearer", "role", "region")]
    if not all(isinstance(part, str) for part in parts) or not all(parts[:2]):
        raise Untrusted("the daemon gave no address to fetch from")
    url, bearer, named, region = (cast("str", part) for part in parts)
    return Lease(named or role, url, bearer, region, _monitor(answer.get("csm")))


def _monitor(told: object) -> dict[str, str]:
    """The daemon's variables for client-side monitoring: of that family and nothing else."""
    if not isinstance(told, dict):
        return {}
    return {
        name: value
        for name, value in told.items()
        if name in MONITORING and isinstance(value, str) and value.isprintable()
    }


def _asked_first(
    client: Control, role: str, needs: object, given: dict[str, str]
) -> dict[str, str]:
    """What the role's rule wants and was not given, if a person is there to type it.

    Where nobody is, the command's first call waits until `borrow ask ROLE -m …` has said it.
    """
    wants = needs if isinstance(needs, dict) else {}
    fields = {str(name): str(rule) for name, rule in wants.items() if not given.get(str(name))}
    if not fields or not say.can_ask():
        return {}
    held = client.get("/v1/status").get("grants")
    if isinstance(held, list) and any(isinstance(g, dict) and g.get("role") == role for g in held):
        return {}
    wanted = Needs(f"{role} needs {' and '.join(fields)}", fields=fields)
    return ask_for(wanted, without=f"borrow run {role} {needed_options(fields)} -- COMMAND")


def _change(home: Home, lease: Lease) -> Change:
    from borrow.cli import awsconfig
    from borrow.cli.environment import borrowed

    files = awsconfig.write(home.runtime, os.environ, Path.home())
    return borrowed(
        os.environ,
        lease,
        config_file=str(files.config),
        credentials_file=str(files.credentials),
        has_region=files.has_region,
    )


@click.command(epilog='Example: eval "$(borrow env prod-read)"')
@role_argument
@click.option(
    "--shell", type=click.Choice(("bash", "zsh", "fish", "pwsh")), help="Default: by $SHELL."
)
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option("--for", "seconds", callback=duration, help="How long, such as 30m or 2h.")
def env(role: str, *, shell: str | None, reason: str, ticket: str, seconds: int) -> None:
    """Print what makes this shell use a role; meant to be evaluated by it.

    It holds the address and this terminal session's token for it, so it is not shown on a
    terminal. The token works in this session only, and no longer than it.
    """
    from borrow.cli.environment import script
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    chosen = cast("Shell", shell) if shell else _shell_of(os.environ.get("SHELL", ""))
    if say.is_terminal(sys.stdout):
        raise WrongUse("what `borrow env` prints holds a token", hint=_evaluated(role, chosen))
    home = open_home()
    lease = _lease(running(home), role, reason=reason, ticket=ticket, seconds=seconds)
    sys.stdout.write(script(_change(home, lease), chosen, os.environ))


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
