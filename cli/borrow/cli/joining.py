"""`borrow join URL`: this machine becomes a person's device in a team.

The invitation carries the thumbprints of the approver's and the minter's keys. They are compared
with what the server shows before anything is sent, and stay pinned: a server with other keys is
another server. Nothing is written until the server has accepted this device.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from borrow.cli import say
from borrow.cli.options import json_option
from borrow.protocol.errors import Misconfigured, Unavailable, Untrusted

if TYPE_CHECKING:
    from borrow.cli.home import Home
    from borrow.protocol.enrolment import Invitation

WITHIN: Final = 20.0  # seconds for each of three calls
MAX_ANSWER: Final = 1 << 18  # bytes


@click.command()
@click.argument("url")
@click.option("--name", default="", help="What this device is called; default: the host's name.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask to compare the words.")
@json_option
def join(url: str, *, name: str, yes: bool, as_json: bool) -> None:
    """Join a team with the line that `borrow server invite` printed.

    Compare the words with the person who invited you: then nobody stands in between. With `-`
    the line is read from stdin, where no other program of this machine sees its key.
    """
    from borrow.cli.home import default_path, is_there, open_home
    from borrow.protocol.enrolment import read_invitation
    from borrow.protocol.keys import thumbprint_words

    if url == "-" and say.is_terminal(sys.stdin):
        say.note("paste the line that `borrow server invite` printed, and press Enter")
    invitation = read_invitation(sys.stdin.readline() if url == "-" else url)
    path = default_path(os.environ)
    if is_there(path):
        _refuse_enrolled(open_home())
    _check_pins(invitation)
    words = {
        "words_a": thumbprint_words(invitation.approver_pin),
        "words_m": thumbprint_words(invitation.minter_pin),
    }
    if not as_json:
        say.note(f"{say.text_of(invitation.issuer)}, as {say.text_of(invitation.person)}")
        say.note(f"words to compare: approver {words['words_a']}, minter {words['words_m']}")
    if not (yes or as_json) and say.can_ask() and not say.confirm("are they the same?", without=""):
        say.note("nothing was sent; ask for another invitation")
        raise KeyboardInterrupt
    home = open_home(create=True)
    _refuse_enrolled(home)
    client_id = _register(home, invitation, name or socket.gethostname()[:64])
    from borrow.cli.launch import start, stop

    stop(home)
    start(home)
    if as_json:
        told = {"client_id": client_id, "issuer": invitation.issuer, "person": invitation.person}
        say.document(told | words)
        return
    say.line(f"joined {say.text_of(invitation.issuer)} as {say.text_of(invitation.person)}")
    say.note("see what you may borrow: borrow roles")


def _refuse_enrolled(home: Home) -> None:
    from borrow.daemon.config import load_config

    config = load_config(home.state)
    if config.enrolled:
        raise Misconfigured(
            f"this machine is {config.person}'s at {config.issuer} already",
            hint="`BORROW_STATE_DIR=DIR borrow join URL` keeps both apart",
        )


def _check_pins(invitation: Invitation) -> None:
    """The server at that address shows exactly the keys that the invitation names."""
    from borrow.protocol.keys import PublicKeys, pinned_pair

    found = _fetch(f"{invitation.issuer}/.well-known/openid-configuration")
    minter = found.get("borrow_minter_jwks")
    approver = _fetch(f"{invitation.issuer}/jwks")
    other = Untrusted(
        "that server shows other keys than the invitation names",
        hint="do not join; tell the person who invited you",
        state="pin_mismatch",
    )
    if found.get("issuer") != invitation.issuer or not isinstance(minter, dict):
        raise other
    try:
        PublicKeys.from_jwks(approver, "sig").only([invitation.approver_pin])
        pinned_pair(minter, invitation.minter_pin)
    except Untrusted as exc:
        raise other from exc
    _refuse_other_versions(found)


def _refuse_other_versions(found: dict[str, Any]) -> None:
    from borrow.protocol.oauth import PROFILE_VERSION

    spoken = found.get("borrow_profile_versions_supported")
    if not isinstance(spoken, list) or PROFILE_VERSION not in spoken:
        raise Misconfigured(
            f"that server does not speak version {PROFILE_VERSION} of Borrow's protocol",
            hint="is it an approver of Borrow? If so, update the older of the two",
            state="version",
        )


def _register(home: Home, invitation: Invitation, name: str) -> str:
    """Make this device's keys, have them accepted, and write config; returns the client id."""
    from borrow.daemon.config import DaemonConfig, save_config
    from borrow.daemon.device import NAME, create_device, load_device
    from borrow.protocol.enrolment import sign_software_statement

    kept = load_device(home.state)
    keys = kept or create_device(home.state)
    statement = sign_software_statement(
        invitation,
        keys.jwks(),
        device_name=name,
        now=time.time(),  # noqa: TID251  the edge
        jti=secrets.token_urlsafe(16),
    )
    try:
        answer = _fetch(f"{invitation.issuer}/register", {"software_statement": statement})
        client_id = answer.get("client_id")
        if not isinstance(client_id, str) or answer.get("borrow_owner") != invitation.person:
            raise Untrusted("the server registered something else", hint="do not use it")
    except BaseException:
        if kept is None:
            (home.state / NAME).unlink(missing_ok=True)
        raise
    config = DaemonConfig(
        mode="team",
        issuer=invitation.issuer,
        client_id=client_id,
        person=invitation.person,
        approver_pin=invitation.approver_pin,
        minter_pin=invitation.minter_pin,
    )
    save_config(home.state, config)
    return client_id


def _fetch(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON object from the server. The scheme was checked with the invitation."""
    from urllib.parse import urlsplit

    from borrow.cli.fetching import fetch
    from borrow.protocol.oauth import from_wire
    from borrow.protocol.strict import parse_object

    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = fetch(url, data, headers, within=WITHIN, most=MAX_ANSWER)
    told: dict[str, Any] = {}
    with contextlib.suppress(Untrusted):
        told = parse_object(answer.body, "answer", limit=MAX_ANSWER)
    if told and answer.status in (200, 201):
        return told
    if "error" in told:
        raise from_wire(told)
    raise Unavailable(
        f"what answers at {urlsplit(url).netloc} is no approver (status {answer.status})",
        hint="check the address; something on the way may answer in its place",
    )
