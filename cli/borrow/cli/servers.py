"""`borrow server`: a team's approver, and the people who may join it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from borrow.cli import errors, say
from borrow.cli.errors import WrongUse
from borrow.cli.options import json_option
from borrow.cli.passkeys import show_link

if TYPE_CHECKING:
    from borrow.cli.assembly import Parts
    from borrow.cli.client import Control
    from borrow.cli.server import ServerSettings

_SETTINGS = """\
# A team's approver and minter. Devices pin its keys, so keep this folder safe and backed up.
issuer = {issuer}
#public_url = "https://…"   # where people open its pages, if that is another address
host = "127.0.0.1"     # where it listens; a proxy in front may speak https …
#trusted_proxies = ["…"]    # … and only this one's X-Forwarded-For is believed
port = {port}
#tls_cert = "…"        # … or it does so itself: PEM files
#tls_key = "…"
#webhooks = ["https://…"]          # other systems: signed events, with names in them
#push_contact = "mailto:…"          # for the operators of push services
#push_allow_hosts = ["ntfy.…:8443"] # private hosts that may be sent to; else public https only

# People without Web Push are called here, with an opaque id and a link.
#[channels."ann@example.com"]
#ntfy = "https://ntfy.sh/…"         # a topic that nobody guesses
#webhook = "https://…"
#webhook_secret = "whsec_…"

[cloud]
driver = {driver}      # fake | assume-role | web-identity
region = "us-east-1"
#issuer = "https://…"  # web-identity: the address that the account's identity provider names
"""


OPEN_FILES: Final = 24_576  # each held call is one (approver: `max_waits`), and room beside them
NO_PASSKEYS = " (no passkeys there: browsers want https and a name, or localhost; set public_url)"


@click.group(name="server", short_help="Run a team's approver.")
def server() -> None:
    """Run a team's approver, and invite its people."""


@server.command()
@click.option(
    "--issuer", required=True, metavar="URL", help="The https address under which devices reach it."
)
@click.option("--admin", "person", required=True, metavar="PERSON", help="Its first admin.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Default: the issuer's, or 8440.")
@click.option(
    "--driver", type=click.Choice(("fake", "assume-role", "web-identity")), default="fake"
)
@json_option
def init(*, issuer: str, person: str, port: int | None, driver: str, as_json: bool) -> None:
    """Write a new server's folder: settings, a policy without roles, keys."""
    import json
    from urllib.parse import urlsplit

    from borrow.cli.home import is_there
    from borrow.cli.keyfiles import load_or_make
    from borrow.cli.server import DEFAULT_PORT, check_issuer, default_folder, open_server
    from borrow.daemon.places import write_private
    from borrow.policy.starter import starter_policy
    from borrow.protocol.errors import Misconfigured

    issuer = issuer.rstrip("/")
    check_issuer(issuer, "the issuer")
    policy = starter_policy(person)
    folder = default_folder(os.environ)
    if is_there(folder / "server.toml"):
        raise Misconfigured(
            f"there is a server in {folder} already", hint="BORROW_SERVER_DIR names another folder"
        )
    home = open_server(create=True)
    listens = port or urlsplit(issuer).port or DEFAULT_PORT
    if not is_there(home.policy):
        write_private(home.policy, policy.encode())
    load_or_make(home.folder.path)
    text = _SETTINGS.format(issuer=json.dumps(issuer), port=listens, driver=json.dumps(driver))
    write_private(home.settings, text.encode())
    if as_json:
        say.document({"folder": str(folder), "issuer": issuer, "port": listens})
        return
    say.line(f"a server is ready in {say.text_of(str(folder))}")
    say.note(f"1. name roles and people in {say.text_of(str(home.policy))}")
    if driver == "fake":
        say.note("   (and a driver in server.toml: with `fake`, credentials open nothing)")
    say.note("2. borrow server serve")
    say.note(f"3. borrow server invite {person}")


@server.command()
@click.option("--host", help="Where to listen; default: server.toml.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Default: server.toml.")
def serve(*, host: str | None, port: int | None) -> None:
    """Run the approver and the minter in the foreground, until SIGTERM.

    The first start shows one invitation for the first admin, on a terminal only.
    """
    import asyncio
    from dataclasses import replace

    from borrow.cli import logs
    from borrow.cli.server import open_server, read_settings
    from borrow.cli.server import serve as run
    from borrow.daemon.hardening import protect_process, raise_open_files

    protect_process()
    raise_open_files(OPEN_FILES)
    home = open_server()
    settings = read_settings(home.settings)
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
    )
    logs.to_stderr()
    asyncio.run(run(home, settings, ready=lambda parts: _ready(parts, settings)))


def _ready(parts: Parts, settings: ServerSettings) -> None:
    import gc

    gc.freeze()  # what was imported stays: looking through it would hold every call for 70 ms
    say.line(f"serving {settings.issuer} on {settings.host} port {settings.port}")
    admins = parts.policy.current().admins
    if not admins or any(device.owner in admins for device in parts.minter.devices()):
        return
    if not say.is_terminal(sys.stdout):
        say.note(f"nobody has joined yet: borrow server invite {admins[0]}")
        return
    from borrow.approver.pages.guard import passkeys_work
    from borrow.approver.settings import origin_of
    from borrow.protocol.enrolment import Invitation
    from borrow.protocol.keys import thumbprint_words

    invited = parts.minter.invite(admins[0])
    pins = parts.keys.approver_pin, parts.minter.keys().pin
    link = Invitation(settings.issuer, invited.person, *pins, invited.key)
    words = [thumbprint_words(pin) for pin in pins]
    url = link.to_url()
    page = url.replace(settings.issuer, settings.public_url or settings.issuer, 1)
    has = passkeys_work(origin_of(page))
    told = {"url": url, "page": page, "passkeys": has, "words_a": words[0], "words_m": words[1]}
    _tell_invitation(told | {"expires_at": invited.expires_at}, invited.person)


def _tell_invitation(told: dict[str, Any], person: str) -> None:
    minutes = say.left(say.number_of(told.get("expires_at")) - _now())
    page = str(told.get("page") or "")
    say.line(
        f"invitation for {say.text_of(person)}, good for {minutes} and"
        " for one workstation or one phone or browser:"
    )
    say.line(f"  borrow join '{told.get('url', '')}'")
    if page and told.get("passkeys"):
        show_link(page)
    a, m = say.text_of(told.get("words_a")), say.text_of(told.get("words_m"))
    say.note(f"words to compare: approver {a}, minter {m}")


@server.command()
@click.argument("person")
@json_option
def invite(person: str, *, as_json: bool) -> None:
    """Invite a person whom the policy names: prints a line for `borrow join`.

    It holds a one-time key, so it is shown on a terminal, or given by --json.
    """
    if not as_json and not say.is_terminal(sys.stdout):
        raise WrongUse(
            "an invitation holds a key and is shown on a terminal only",
            hint=f"borrow server invite {person} --json",
        )
    told = _admin().post("/admin/invite", {"person": person})
    if as_json:
        say.document(told)
    else:
        _tell_invitation(told, person)


@server.command()
@json_option
def status(*, as_json: bool) -> int:
    """Whether it runs, and who has joined."""
    told = _admin().get("/admin/status")
    if as_json:
        say.document(told)
        return errors.OK
    say.line(f"issuer    {say.text_of(told.get('issuer'))}")
    without = "" if told.get("passkeys") else NO_PASSKEYS
    say.line(f"pages     {say.text_of(told.get('pages'))}{without}")
    say.line(f"words     approver {say.text_of(told.get('words_a'))}")
    say.line(f"          minter {say.text_of(told.get('words_m'))}")
    say.line(f"admins    {say.people(told.get('admins'))}")
    if trouble := say.text_of(told.get("policy_trouble")):
        say.note(f"the changed policy is not used, the one before stays in force: {trouble}")
    if people := told.get("unreachable"):
        say.line(f"unreached {say.people(people)}: nothing tells them of a request")
    for line in halves(told.get("halves")):
        say.line(line)
    devices = told.get("devices")
    rows = [each for each in devices if isinstance(each, dict)] if isinstance(devices, list) else []
    names = ("client_id", "owner", "name", "state")
    say.table(
        ("device", "owner", "name", "state"), [[str(d.get(n, "")) for n in names] for d in rows]
    )
    return errors.OK


def halves(told: object) -> list[str]:
    """Those who are asked about critical roles and cannot say a whole yes."""
    people = told if isinstance(told, dict) else {}
    return [
        f"half      {say.text_of(person)} has no {' and no '.join(map(say.text_of, lacks))}: "
        "no yes of theirs to a critical role is whole"
        for person, lacks in people.items()
        if isinstance(lacks, list)
    ]


@server.command()
@click.argument("device")
@click.option("--by", required=True, metavar="PERSON", help="Who decided it: not its owner.")
@json_option
def unfreeze(device: str, *, by: str, as_json: bool) -> None:
    """Let a frozen device work again; another person than its owner decides it."""
    told = _admin().post("/admin/unfreeze", {"client_id": device, "by": by})
    if as_json:
        say.document(told)
    else:
        say.line(f"unfrozen: {say.text_of(device)}")


def _admin() -> Control:
    """The client of the running server's admin socket."""
    from borrow.cli.client import Control
    from borrow.cli.server import open_server
    from borrow.protocol.errors import Unavailable

    client = Control(open_server().admin_socket, uid=os.getuid())
    if not client.is_up():
        raise Unavailable("the server is not running", hint="borrow server serve")
    return client


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
