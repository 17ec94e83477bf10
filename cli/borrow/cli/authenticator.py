"""`borrow totp`: the authenticator app. Its secret is shown on this terminal once, nowhere else."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.client import segment
from borrow.cli.errors import WrongUse
from borrow.cli.options import json_option
from borrow.protocol.errors import Refused, Untrusted

if TYPE_CHECKING:
    from borrow.cli.client import Control

TRIES = 3


@click.group(name="totp", short_help="Your authenticator app.")
def totp() -> None:
    """Your authenticator app: a code for roles whose rule takes totp."""


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


@totp.command("enrol")
def enrol_command() -> None:
    """Set up an authenticator app: shows a QR code, active after one right code."""
    _at_terminal()
    enrol(_client())


@totp.command("status")
@json_option
def status(*, as_json: bool) -> None:
    """Whether an authenticator app is set up, as the log has it."""
    client = _client()
    since = active_since(client)
    if as_json:
        say.document({"active": since is not None, "since": since})
    elif since is None:
        say.line("no authenticator app is set up")
        say.note("set one up: borrow totp enrol")
    else:
        day = time.strftime("%Y-%m-%d", time.localtime(since))
        say.line(f"an authenticator app is set up, since {day}")


def active_since(client: Control) -> float | None:
    """When this person's app became active, unix seconds."""
    from borrow.cli.audit import entries

    person = client.get("/v1/status").get("person")
    since = None
    for one in entries(client):
        try:
            entry = json.loads(one["entry"])
        except ValueError:
            continue
        facts = entry.get("facts") or {}
        if entry.get("kind") == "totp.active" and facts.get("person") == person:
            since = say.number_of(entry.get("at"))
    return since


def _at_terminal() -> None:
    if not (say.can_ask() and say.is_terminal(sys.stdout)):
        raise WrongUse(
            "the secret is shown on a terminal only", hint="`borrow totp enrol` (at a terminal)"
        )


def enrol(client: Control) -> None:
    """The whole conversation; raises Refused after three wrong codes."""
    begun = _begin(client)
    enrolment, secret, uri = (begun.get(name) for name in ("enrolment", "secret", "uri"))
    if not all(isinstance(part, str) and part for part in (enrolment, secret, uri)):
        raise Untrusted("the daemon gave no secret to show")
    _show(str(secret), str(uri))
    for left in range(TRIES - 1, -1, -1):
        code = say.ask("code that the app shows now", without="borrow totp enrol")
        try:
            client.post(f"/v1/totp/{segment(str(enrolment))}", {"code": code})
        except Refused as exc:
            if not left or exc.state == "otp_locked":
                raise
            say.note(f"{say.text_of(exc.message)}; {left} tr{'ies' if left > 1 else 'y'} left")
        else:
            say.line("the authenticator app is set up")
            return


def _begin(client: Control) -> dict[str, Any]:
    """Start it; replacing an active app takes a code of that one."""
    try:
        return client.post("/v1/totp")
    except Refused as exc:
        if not exc.state.startswith(("otp", "totp")):
            raise
        say.note(f"{say.text_of(exc.message)}")
    code = say.ask("code of the app that is set up now", without="borrow totp enrol")
    return client.post("/v1/totp", {"code": code})


def _show(secret: str, uri: str) -> None:
    import segno

    say.note("Scan this with the app (or type the secret), then give one code.")
    segno.make(uri, error="m").terminal(out=sys.stderr, compact=True)
    say.note(f"secret: {say.text_of(secret)}")
