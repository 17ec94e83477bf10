"""`phone.toml` of solo mode: the ntfy topic of the person's phone.

ntfy = "https://ntfy.sh/a-topic-nobody-guesses"
ntfy_token = "tk_…"                                  for a topic that asks for one
allow_hosts = ["ntfy.example.net:8443"]              a private server

The topic of the answers is on the same server, under a random name in `phone.reply`.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.approver.channels.addresses import read_url
from borrow.cli.cloud import read_toml
from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "phone.toml"
REPLY: Final = "phone.reply"
_KEYS: Final = ("ntfy", "ntfy_token", "allow_hosts")
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_REPLY: Final = re.compile(r"borrow-reply-[A-Za-z0-9_-]{22,43}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """Who knows the topic reads and writes it."""

    server: str
    topic: str = field(repr=False)  # its address
    token: str = field(repr=False)
    allow_hosts: tuple[str, ...]


def read_phone(folder: Path) -> PhoneSettings | None:
    """None if there is no `phone.toml`. Raises Misconfigured naming a key, never a topic."""
    table = read_toml(folder / FILE)
    return _parsed(table) if table else None


def reply_topic(folder: Path) -> str:
    """Its name, made once. Without the file a new one is made."""
    path = folder / REPLY
    found = read_private(path)
    if found is None:
        made = f"borrow-reply-{secrets.token_urlsafe(24)}"
        write_private(path, f"{made}\n".encode())
        return made
    name = found.decode("ascii", "replace").strip()
    if not _REPLY.fullmatch(name):
        raise Misconfigured(f"{REPLY} holds no topic's name", hint="remove it: a new one is made")
    return name


def _parsed(table: dict[str, Any]) -> PhoneSettings:
    for key in table:
        if key not in _KEYS:
            raise Misconfigured(
                f"{FILE}: unknown key {key[:40]!r}", hint=f"allowed: {', '.join(_KEYS)}"
            )
    hosts, topic, token = table.get("allow_hosts", []), table.get("ntfy"), table.get("ntfy_token")
    if not isinstance(hosts, list) or not all(isinstance(each, str) for each in hosts):
        raise Misconfigured(
            f"{FILE}: allow_hosts is no list of hosts", hint='["ntfy.example.net:8443"]'
        )
    if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise Misconfigured(f"{FILE}: ntfy_token is no token of an ntfy topic", hint="tk_…")
    allowed = tuple(host.lower() for host in hosts)
    try:
        parts = read_url(topic if isinstance(topic, str) else "", allowed)
    except Refused:
        raise Misconfigured(
            f"{FILE}: ntfy is not a public https address",
            hint='ntfy = "https://ntfy.sh/TOPIC"; `allow_hosts` names a private server',
        ) from None
    if parts.raw_query_string or not _TOPIC.fullmatch(parts.raw_path.removeprefix("/")):
        raise Misconfigured(f"{FILE}: ntfy names no topic", hint='ntfy = "https://ntfy.sh/TOPIC"')
    return PhoneSettings(str(parts.origin()), str(parts), token or "", allowed)
