"""`borrow passkey`: the keys of phones and browsers, to say yes on the approver's pages."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.options import json_option
from borrow.protocol.errors import Misconfigured, Untrusted

if TYPE_CHECKING:
    from borrow.cli.client import Control

_LINE = "borrow passkey add (at a terminal)"


@click.group(name="passkey", short_help="Your phone's and browsers' passkeys.")
def passkey() -> None:
    """Passkeys: say yes on your phone or in a browser, with a finger, a face or a PIN."""


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


@passkey.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Your passkeys, and when each was last used."""
    found = _passkeys(_client())
    if as_json:
        say.document({"passkeys": found})
    elif not found:
        say.line("you have no passkey")
        say.note("add your phone: borrow passkey add")
    else:
        say.table(("passkey", "id", "added", "last used", ""), map(_row, found))


@passkey.command()
@json_option
def add(*, as_json: bool) -> None:
    """Add a phone or a browser: shows a link and its QR code, good for ten minutes and once.

    Takes a fresh code of your authenticator app, so that nobody else's phone becomes yours. Without
    an app ask an admin: borrow server invite.
    """
    from borrow.cli.trust import refuse_agents

    refuse_agents("add a passkey", "borrow passkey add")
    client = _client()
    code = say.ask("code of your authenticator app", without=_LINE)
    told = client.post("/v1/passkeys/invitation", {"code": code})
    url, end = told.get("url"), say.number_of(told.get("expires_at"))
    if not isinstance(url, str) or not url:
        raise Untrusted("the approver gave no link")
    if as_json:
        say.document(told)
        return
    show_link(url)
    say.note(f"good once, for {say.left(end - _now())}; whoever opens it first becomes you")


def show_link(url: str) -> None:
    """The link, and on a terminal its QR code for a phone's camera."""
    if say.is_terminal(sys.stderr):
        import segno

        say.note("Open this on the phone or in the browser:")
        segno.make(url, error="l").terminal(out=sys.stderr, compact=True)
    say.line(say.text_of(url))


@passkey.command()
@click.argument("which", metavar="NAME|ID")
@json_option
def remove(which: str, *, as_json: bool) -> None:
    """Take a passkey away, such as a lost phone's. It counts no more at once."""
    client = _client()
    found = [each for each in _passkeys(client) if which in (each.get("name"), each.get("id"))]
    if len(found) != 1:
        why = "two passkeys have that name" if found else "you have no passkey of that name"
        raise Misconfigured(why, hint="`borrow passkey list` shows names and ids")
    told = client.post("/v1/passkeys/removal", {"id": found[0]["id"]})
    if as_json:
        say.document(told)
    else:
        say.line(f"removed: {say.text_of(which)}")


def _passkeys(client: Control) -> list[dict[str, Any]]:
    listed = client.get("/v1/passkeys").get("passkeys")
    found = listed if isinstance(listed, list) else []
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str)]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    waits = say.number_of(entry.get("counts_from")) - _now()
    used = say.number_of(entry.get("last_used_at"))
    return (
        say.text_of(entry.get("name")),
        say.text_of(entry["id"])[:16],
        _day(say.number_of(entry.get("added_at"))),
        _day(used) if used else "never",
        f"counts in {say.left(waits)}" if waits > 0 else "",
    )


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
