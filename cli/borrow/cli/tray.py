"""`borrow tray`: the icon's process, handed the daemon's client and what opens a prompt."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from borrow.cli.client import Control

PROMPT = [sys.executable, "-P", "-m", "borrow.cli.main", "prompt"]


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


@click.command()
def tray() -> None:
    """Show the icon: what you hold, what you asked for, what waits for you.

    Runs until it is quit from its menu, or the desktop session ends.
    """
    from borrow.cli.home import open_home
    from borrow.cli.launch import start
    from borrow.tray.run import run

    home = open_home()
    client = _client()
    run(client, prompt=PROMPT, start_daemon=lambda: start(home))
