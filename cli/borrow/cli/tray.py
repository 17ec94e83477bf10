"""`borrow tray` and `borrow prompt`: the desktop's two processes, handed the daemon's client."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from borrow.cli import errors, say
from borrow.cli.errors import WrongUse
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from borrow.cli.client import Control

PROMPT = [sys.executable, "-P", "-m", "borrow.cli.main", "prompt"]


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


@click.command()
@click.option("--stop", is_flag=True, help="End the one that runs.")
@click.option(
    "--at-login/--not-at-login", default=None, help="Have the desktop start it at each login."
)
def tray(*, stop: bool, at_login: bool | None) -> None:
    """Show the icon: what you hold, what you asked for, what waits for you.

    Runs until it is quit from its menu, `--stop` ends it, or the desktop session ends. It starts
    by itself with the daemon where there is a desktop; BORROW_TRAY=off keeps it from that.
    """
    from borrow.cli import traying
    from borrow.cli.home import open_home
    from borrow.cli.launch import start

    home = open_home()
    if at_login is not None:
        path = traying.at_login(os.environ, on=at_login)
        say.line(f"{path} starts it at each login" if at_login else f"{path} is gone")
        return
    if stop:
        say.line("the tray has ended" if traying.stop(home) else "no tray runs")
        return
    client = _client()
    with traying.held(home) as first:
        if not first:
            say.line("the tray is already there")
            return
        from borrow.tray.run import run

        run(client, prompt=PROMPT, start_daemon=lambda: start(home))


@click.command()
@click.argument("request", required=False, default="")
@click.option("--ask", "role", is_flag=False, flag_value="", default=None, metavar="ROLE")
@click.option("--extend", "grant", default="", metavar="GRANT", help="Ask for more time of it.")
@click.option("--no-gui", is_flag=True, help="In this terminal.")
def prompt(*, request: str, role: str | None, grant: str, no_gui: bool) -> int:
    """Open the window that answers REQUEST, or with --ask the one that asks for a role.

    Esc and closing mean "not now", exit code 130: nothing is decided.
    """
    if (role is None) == (not request):
        raise WrongUse("one thing: a request to answer, or --ask", hint="borrow prompt r-…")
    client = _client()
    if no_gui or not _has_display():
        return _in_terminal(request, role)
    from borrow.tray.window import NotHere, answer, ask

    try:
        told = answer(client, request) if role is None else ask(client, role, grant=grant)
    except NotHere as exc:
        say.note(f"no window: {exc}")
        return _in_terminal(request, role)
    if not told:
        return errors.INTERRUPTED
    say.line(told)
    return errors.OK


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY"))


def _in_terminal(request: str, role: str | None) -> int:
    """The same questions, asked in the terminal."""
    from borrow.cli.main import run

    if not say.can_ask():
        raise Unavailable("there is no display and no terminal", hint="borrow inbox")
    if role is not None:
        return run(["ask", role, "--wait"]) if role else run(["roles"])
    return run(["approve", request])
