"""`borrow setup`: solo mode on this machine, from nothing to a running daemon.

Writes a commented policy without roles and a cloud file, starts the daemon (which makes the keys
and enrols this machine), and offers an authenticator app. What is there already is kept, so that
running it twice changes nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.options import json_option

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.cli.home import Home

_CLOUD = """\
# How solo mode gets short-lived credentials.
#   assume-role   AssumeRole from the base keys that `borrow keys add` keeps
#   fake          credentials that open nothing, to try Borrow out
driver = "assume-role"
region = "us-east-1"
"""


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--no-totp", is_flag=True, help="Without an authenticator app, for now.")
@json_option
def setup(*, yes: bool, dry_run: bool, no_totp: bool, as_json: bool) -> None:
    """Set Borrow up for yourself, on this machine.

    There is no boundary against programs of your own user in this mode: a yes in your terminal is
    consent and a notice. For a boundary, let your roles demand MFA: borrow keys add --mfa-serial.
    """
    from borrow.cli.home import default_path, open_home

    path = default_path(os.environ)
    _refuse_team(path)
    steps = _steps(path)
    if dry_run:
        _tell_plan(path, steps, as_json=as_json)
        return
    if not yes and steps:
        _tell_plan(path, steps, as_json=False)
        if not say.confirm("go ahead?", without="borrow setup --yes"):
            say.note("nothing was changed")
            raise KeyboardInterrupt
    home = open_home(create=True)
    _write(home)
    from borrow.cli.launch import start

    started = start(home)
    if as_json:
        told: dict[str, Any] = {"state": str(path), "did": steps, "started": started}
        say.document(told | {"totp": _has_totp(home)})
        return
    if not steps:
        _tell_plan(path, steps, as_json=False)
    if not (no_totp or yes) and say.can_ask() and not _has_totp(home):
        _offer_totp(home)
    if steps:
        _tell_next(home)


def _steps(path: Path) -> list[str]:
    from borrow.cli.home import CLOUD, CONFIG, POLICY, is_there

    out = [] if is_there(path) else [f"make {path}, closed to others"]
    for name, what in ((POLICY, "a policy without roles"), (CLOUD, "the cloud's settings")):
        if not is_there(path / name):
            out.append(f"write {path / name}: {what}")
    if not is_there(path / CONFIG):
        out.append("make keys, and enrol this machine as yours")
    return out


def _tell_plan(path: Path, steps: list[str], *, as_json: bool) -> None:
    if as_json:
        say.document({"state": str(path), "would": steps})
        return
    for step in steps:
        say.note(f"would {say.text_of(step)}")
    if not steps:
        say.note(f"Borrow is set up in {say.text_of(str(path))}; nothing to do")


def _refuse_team(path: Path) -> None:
    from borrow.cli.home import is_there, open_home
    from borrow.protocol.errors import Misconfigured

    if not is_there(path):
        return
    home = open_home()
    if home.is_set_up and home.mode() == "team":
        raise Misconfigured(
            "this machine belongs to a team already",
            hint="`BORROW_STATE_DIR=DIR borrow setup` keeps both apart",
        )


def _write(home: Home) -> None:
    from borrow.cli.home import CONFIG, is_there
    from borrow.cli.solo import person
    from borrow.daemon.config import DaemonConfig, save_config
    from borrow.daemon.places import write_private
    from borrow.policy.starter import starter_policy

    if not is_there(home.policy):
        write_private(home.policy, starter_policy(person()).encode())
    if not is_there(home.cloud):
        write_private(home.cloud, _CLOUD.encode())
    if not is_there(home.state / CONFIG):
        save_config(home.state, DaemonConfig(mode="solo", person=person()))


def _has_totp(home: Home) -> bool:
    from borrow.cli.authenticator import active_since
    from borrow.cli.launch import control

    return active_since(control(home)) is not None


def _offer_totp(home: Home) -> None:
    """All else is done by now: leaving here by Ctrl-C, or by wrong codes, undoes nothing."""
    from borrow.cli.authenticator import enrol
    from borrow.cli.launch import control
    from borrow.protocol.errors import Refused

    say.note("A code of an authenticator app is a second factor for roles that matter.")
    try:
        if say.confirm("set one up now?", without="borrow totp enrol"):
            enrol(control(home))
            return
    except Refused as exc:
        say.note(say.text_of(exc.message))
    except KeyboardInterrupt:
        say.note("")
    say.note("later: borrow totp enrol")


def _tell_next(home: Home) -> None:
    say.line(f"Borrow is ready: {say.text_of(str(home.state.path))}")
    say.note(f"1. name your roles in {say.text_of(str(home.policy))}, then: borrow policy check")
    say.note("2. give it base keys that may assume them: borrow keys add")
    say.note("3. borrow run ROLE -- aws sts get-caller-identity")
    say.note(
        "Answer in a browser of this machine: borrow passkey add, then borrow inbox --browser."
    )
    say.note("A phone needs a server at a name that it can reach: borrow server init.")
