"""`borrow daemon`: start, stop and look at the process behind everything."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from borrow.cli import errors, say
from borrow.cli.options import json_option

TAIL = 200  # lines


@click.group(name="daemon", short_help="Start, stop and watch the daemon.")
def daemon() -> None:
    """The daemon: any command that needs it starts it by itself."""


@daemon.command()
@json_option
def start(*, as_json: bool) -> None:
    """Start it, if it does not run."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import start as launch

    home = open_home()
    started = launch(home)
    if as_json:
        say.document({"started": started})
    else:
        say.line("the daemon runs" if started else "the daemon runs already")


@daemon.command()
@json_option
def stop(*, as_json: bool) -> None:
    """Stop it. Programs that wait are refused; grants stay as they are."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import stop as end

    stopped = end(open_home())
    if as_json:
        say.document({"stopped": stopped})
    else:
        say.line("the daemon has stopped" if stopped else "the daemon does not run")


@daemon.command()
@json_option
def status(*, as_json: bool) -> int:
    """Whether it runs; exit code 4 if not."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import control
    from borrow.protocol.errors import Unavailable

    client = control(open_home())
    try:
        told = client.get("/v1/status")
    except Unavailable as exc:
        if as_json:
            say.document({"running": False, "why": exc.message})
        else:
            say.line("the daemon does not run")
        return errors.UNAVAILABLE
    if as_json:
        say.document({"running": True} | told)
        return errors.OK
    for label in ("pid", "port", "mode", "issuer", "person", "client_id", "version", "imds_role"):
        if told.get(label):
            say.line(f"{label.replace('_', ' '):<10} {say.text_of(str(told[label]))}")
    say.line(f"{'contact':<10} {_contact(told)}")
    return errors.OK


def _contact(told: dict[str, Any]) -> str:
    age = told.get("contact_age")
    return "none yet" if age is None else f"{say.left(say.number_of(age))} ago"


@daemon.command()
@click.option("-n", "lines", type=click.IntRange(1, 100_000), default=TAIL, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come.")
def logs(*, lines: int, follow: bool) -> None:
    """What it wrote."""
    from collections import deque

    from borrow.cli.home import open_home
    from borrow.protocol.errors import Misconfigured

    path = open_home().log
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in deque(file, maxlen=lines):
                _copy(text)
            while follow:
                text = file.readline()
                _copy(text) if text else time.sleep(0.2)
    except FileNotFoundError:
        raise Misconfigured("there is no log yet", hint="borrow daemon start") from None


def _copy(text: str) -> None:
    from borrow.cli.logs import read

    sys.stdout.write(read(text) + "\n")
    sys.stdout.flush()
