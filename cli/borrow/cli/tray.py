"""`borrow tray`: the icon's process, handed the daemon's client and what opens a prompt."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from borrow.cli import say

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
