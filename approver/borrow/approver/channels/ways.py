"""How people are reached, in server.toml: its push settings, and `[channels."person"]`.

A person without Web Push is called at the addresses of their own table:

ntfy = "https://ntfy.example.com/some-secret-topic"
ntfy_token = "tk_…"                                  for a topic that asks for one
webhook = "https://hooks.example.com/borrow"
webhook_secret = "whsec_…"                           base64 of 24 to 64 random bytes
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping  # noqa: TC003  dataclasses read annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.approver.channels.addresses import read_url
from borrow.policy.people import canonical
from borrow.protocol.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from collections.abc import Collection

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  a mark of the form, not a secret
_KEYS: Final = ("ntfy", "ntfy_token", "webhook", "webhook_secret")
_CONTACTS: Final = ("mailto:", "https://")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[?[0-9A-Fa-f:.]+\]?", re.ASCII)
_PROXY: Final = re.compile(
    r"https?://([^\s/@:]+(:[^\s/@]*)?@)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/?",
    re.ASCII,
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ways:
    """One person's. The addresses are secrets: who knows a topic reads and writes it."""

    ntfy: str = field(default="", repr=False)
    ntfy_token: str = field(default="", repr=False)
    webhook: str = field(default="", repr=False)
    webhook_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Reach:
    """How people are reached, as server.toml says."""

    ways: Mapping[str, Ways] = field(default_factory=dict)
    allow_hosts: tuple[str, ...] = ()
    contact: str = ""
    proxy: str = field(default="", repr=False)  # may hold a password


def read_reach(table: Mapping[str, Any], source: str) -> Reach:
    """`push_contact`, `push_allow_hosts`, `push_proxy`, `[channels]`. Raises Misconfigured."""
    hosts, contact = table.get("push_allow_hosts", []), table.get("push_contact", "")
    if not isinstance(hosts, list) or not all(isinstance(each, str) and each for each in hosts):
        raise Misconfigured(
            f"{source}: push_allow_hosts is no list of hosts", hint='["ntfy.example.net:8443"]'
        )
    if odd := next((each for each in hosts if not _HOST.fullmatch(each)), ""):
        raise Misconfigured(
            f"{source}: push_allow_hosts: {odd[:60]!r} is no host",
            hint="a name or an address, and a port if you like: no https://, no path",
        )
    if not isinstance(contact, str) or (contact and not contact.startswith(_CONTACTS)):
        raise Misconfigured(f"{source}: push_contact is no address", hint="mailto:… or https://…")
    proxy = table.get("push_proxy", "")
    if not isinstance(proxy, str) or (proxy and not _PROXY.fullmatch(proxy)):
        raise Misconfigured(
            f"{source}: push_proxy is no address of a proxy",
            hint='"http://proxy.example.com:3128"',
        )
    channels = table.get("channels", {})
    if not isinstance(channels, dict):
        raise Misconfigured(f"{source}: channels is no table", hint='[channels."ann@example.com"]')
    ways = read_ways(channels, f"{source} [channels]", hosts)
    return Reach(ways, tuple(hosts), contact, proxy)


def read_ways(
    table: Mapping[str, Any], source: str, allow_hosts: Collection[str]
) -> dict[str, Ways]:
    """Raises Misconfigured naming person and key, never a value."""
    return {
        canonical(person): _read(entry, f"{source}.{person!r}", allow_hosts)
        for person, entry in table.items()
    }


def _read(entry: object, source: str, allow_hosts: Collection[str]) -> Ways:
    if not isinstance(entry, dict):
        raise Misconfigured(f"{source} is no table", hint='[channels."ann@example.com"]')
    for key, value in entry.items():
        if key not in _KEYS:
            raise Misconfigured(
                f"{source}: unknown key {key[:40]!r}", hint=f"allowed: {', '.join(_KEYS)}"
            )
        if not isinstance(value, str) or not value:
            raise Misconfigured(f"{source}: {key} is not text", hint=f'write {key} = "…"')
    for key in ("ntfy", "webhook"):
        if key in entry:
            try:
                read_url(entry[key], allow_hosts)
            except Refused as exc:
                raise Misconfigured(f"{source}: {key}: {exc.message}", hint=exc.hint) from None
    if "ntfy_token" in entry and not ("ntfy" in entry and _TOKEN.fullmatch(entry["ntfy_token"])):
        raise Misconfigured(f"{source}: ntfy_token is no token of an ntfy topic", hint="tk_…")
    if ("webhook" in entry) != ("webhook_secret" in entry):
        raise Misconfigured(
            f"{source}: webhook and webhook_secret go together",
            hint=f'webhook_secret = "{SECRET_PREFIX}$(openssl rand -base64 32)"',
        )
    key = _secret(entry["webhook_secret"], source) if "webhook_secret" in entry else b""
    return Ways(entry.get("ntfy", ""), entry.get("ntfy_token", ""), entry.get("webhook", ""), key)


def _secret(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise Misconfigured(
            f"{source}: webhook_secret is not {SECRET_PREFIX} and base64 of 24 to 64 bytes",
            hint=f"{SECRET_PREFIX}$(openssl rand -base64 32)",
        )
    return key
