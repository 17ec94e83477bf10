"""`borrow console ROLE`: the cloud's own pages, signed in with a borrowed role.

The credentials pass through this process's memory, from the daemon to the sign-in service. The
browser is started with a one-time link on loopback: no argument, log or shell history holds more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from borrow.cli import say
from borrow.cli.client import ANSWER_WITHIN, Connection, segment
from borrow.cli.options import json_option, role_argument
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable, Untrusted

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.cli.home import Home

# Browsers that take a profile folder, and how; the first that is there is used for --apart.
_CHROMES = ("google-chrome", "chromium", "chromium-browser", "brave-browser", "microsoft-edge")


@click.command(epilog="Example: borrow console prod-read --service s3")
@role_argument
@click.option("--service", default="", metavar="NAME", help="Its page, such as s3 or ec2.")
@click.option("--region", default="", help="Default: the role's, or your shell's.")
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option("--apart", is_flag=True, help="In a browser profile of this account's own.")
@click.option("--print", "print_only", is_flag=True, help="Print the one-time link; open nothing.")
@json_option
def console(
    role: str,
    *,
    service: str,
    region: str,
    reason: str,
    ticket: str,
    apart: bool,
    print_only: bool,
    as_json: bool,
) -> None:
    """Open the cloud's console, signed in with a role; waits for the yes.

    The link works once and for two minutes. The console's session ends with the borrowed
    credentials. Several accounts side by side: with --apart each has its own browser profile.
    """
    from borrow.cli import signin
    from borrow.cli.cloud import parse_cloud, read_toml
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    home = open_home()
    client = running(home)
    settings = parse_cloud(read_toml(home.cloud), home.cloud.name)
    entry = _entry(client.get(f"/v1/explain/{segment(role)}"))
    places = signin.places_for(
        str(entry.get("arn") or ""), settings.signin_url, settings.console_url
    )
    wanted = region or os.environ.get("AWS_REGION") or str(entry.get("region") or "")
    to = signin.destination(places, service, wanted)
    document = _credentials(home, role, {"reason": reason, "ticket": ticket})
    location = signin.address(places, signin.token(places, document), to)
    link = str(client.post("/v1/console", {"location": location}).get("url") or "")
    if not link:
        raise Untrusted("the daemon gave no link")
    if as_json:
        say.document({"url": link, "role": role})
    elif print_only:
        say.line(link)
        say.note("it works once, within two minutes, on this machine")
    else:
        account = str(entry.get("account") or "account")
        _open(link, home.state.path / "console" / _plain(account) if apart else None)
        say.note(f"opened the console as {say.text_of(role)}")


def _entry(answer: dict[str, Any]) -> dict[str, Any]:
    entry = answer.get("role")
    if not isinstance(entry, dict):
        raise Misconfigured("that is no role", hint="`borrow roles` lists them")
    return entry


def _credentials(home: Home, role: str, asked: dict[str, str]) -> dict[str, Any]:
    """The document of `credential_process`, waited for; the wait is told on stderr."""
    query = urlencode({name: value for name, value in asked.items() if value})
    path = f"/v1/process/{segment(role)}" + (f"?{query}" if query else "")
    with Connection(home.socket, os.getuid()) as line:
        try:
            line.send("GET", path, None)
            answer = line.answer(ANSWER_WITHIN)
        except TimeoutError:
            raise Unavailable(
                "the daemon did not answer in time", hint="`borrow daemon logs` may say why"
            ) from None
        if answer.status >= 400:
            raise _failed(line.body(answer, ANSWER_WITHIN))
        line.begin(answer)
        return _document(line)


def _document(line: Connection) -> dict[str, Any]:
    read = b""
    while True:
        piece = line.piece(3600.0)
        if not piece:
            raise Unavailable("the daemon broke off", hint="`borrow daemon logs` may say why")
        read += piece
        while b"\n" in read:
            one, _, read = read.partition(b"\n")
            kind, text = one[:2], one[2:].decode("utf-8", "replace")
            if kind == b"L ":
                say.note(say.text_of(text))
            elif kind == b"E ":
                raise Refused(text, state="refused")
            elif kind == b"D ":
                found = json.loads(text)
                if isinstance(found, dict):
                    return found
                raise Untrusted("the daemon gave no document")


def _failed(body: bytes) -> BorrowError:
    try:
        error = json.loads(body)["error"]
        return Refused(str(error["message"]), hint=str(error.get("hint") or ""))
    except (ValueError, KeyError, TypeError):
        return Unavailable("the daemon refused", hint="`borrow daemon logs` may say why")


def _plain(account: str) -> str:
    return "".join(char if char.isalnum() or char in "-_" else "-" for char in account)[:40] or "x"


def _open(link: str, profile: Path | None) -> None:
    if profile is None:
        import webbrowser

        if not webbrowser.open(link):
            raise Unavailable("no browser could be started", hint="`borrow console ROLE --print`")
        return
    command = apart_command(link, profile)
    profile.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.Popen(  # noqa: S603  a known browser with our own link
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # it outlives us, and Python is not to warn of that
    sys.stdout.flush()


def apart_command(link: str, profile: Path, path: str | None = None) -> list[str]:
    """How a browser is started with a profile of its own, so that no cookie is shared."""
    for name in _CHROMES:
        if program := shutil.which(name, path=path):
            return [program, f"--user-data-dir={profile}", "--no-first-run", link]
    if program := shutil.which("firefox", path=path):
        return [program, "--new-instance", "--profile", str(profile), link]
    raise Misconfigured(
        "no browser that takes a profile of its own is installed",
        hint="`borrow console ROLE --print`, and open the link where you like",
    )
