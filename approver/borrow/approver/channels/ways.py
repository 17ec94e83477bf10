"""`[channels."person"]` in server.toml: where somebody without Web Push is called.

ntfy = "https://ntfy.example.com/some-secret-topic"
ntfy_token = "tk_…"                                  for a topic that asks for one
webhook = "https://hooks.example.com/borrow"
webhook_secret = "whsec_…"                           base64 of 24 to 64 random bytes
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.approver.channels.addresses import read_url
from borrow.policy.people import canonical
from borrow.protocol.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  a mark of the form, not a secret
_KEYS: Final = ("ntfy", "ntfy_token", "webhook", "webhook_secret")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ways:
    """One person's. The addresses are secrets: who knows a topic reads and writes it."""

    ntfy: str = field(default="", repr=False)
    ntfy_token: str = field(default="", repr=False)
    webhook: str = field(default="", repr=False)
    webhook_key: bytes = field(default=b"", repr=False)


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
