"""`borrow audit`: the log of everything that was asked, said, granted and minted.

`verify` lets the minter check its whole chain, and walks the entries that this device may see by
itself: each leaf's hash is computed here from the bytes that came.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import errors, say
from borrow.cli.options import json_option
from borrow.protocol.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.client import Control

PAGE = 500  # entries in one call


@click.group(name="audit", short_help="Verify and export the log.")
def audit() -> None:
    """Verify and export the log. Admins see all of it, others what names them."""


def _client() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    return running(open_home())


def entries(client: Control, start: int = 0) -> Iterator[dict[str, Any]]:
    """Log entries as they are stored: seq, entry (exact JSON text), leaf_hash."""
    at = start
    while True:
        listed = client.get("/v1/audit/entries", start=at, count=PAGE).get("entries")
        page = [one for one in listed if _is_entry(one)] if isinstance(listed, list) else []
        yield from page
        following = max((one["seq"] for one in page), default=at - 1) + 1
        if following <= at:
            return
        at = following


def _is_entry(one: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("seq"), int)
        and isinstance(one.get("entry"), str)
    )


@audit.command()
@json_option
def verify(*, as_json: bool) -> int:
    """Check the chain; names the first bad entry, exit code 1."""
    client = _client()
    told = client.get("/v1/audit/check")
    bad, why = told.get("bad_seq"), say.text_of(told.get("why"))
    seen = 0
    if bad is None:
        for one in entries(client):
            seen += 1
            if not leaf_matches(one):
                bad, why = one["seq"], "its bytes do not have the hash that the log gives them"
                break
    size = int(say.number_of(told.get("size")))
    if as_json:
        say.document({"size": size, "seen": seen, "bad_seq": bad, "why": why, "ok": bad is None})
    elif bad is None:
        say.line(f"the log holds: {size} entries, {seen} of them looked at here")
        say.line(f"root {say.text_of(told.get('root'))}")
    else:
        say.line(f"the log is broken at entry {bad}: {why}")
    return errors.OK if bad is None else errors.ERROR


def leaf_matches(one: dict[str, Any]) -> bool:
    """Whether the entry's hash is RFC 9162's of its bytes (hex or base64url)."""
    digest = hashlib.sha256(b"\0" + one["entry"].encode()).digest()
    said = str(one.get("leaf_hash", ""))
    encoded = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return said in (digest.hex(), encoded, base64.b64encode(digest).decode())


@audit.command()
@click.option(
    "--from", "start", type=click.IntRange(0), default=0, help="The first entry's number."
)
@json_option
def export(*, start: int, as_json: bool) -> None:
    """The entries as JSON, one a line, oldest first (with --json: as one document)."""
    told = (_parsed(one) for one in entries(_client(), start))
    if as_json:
        say.document({"entries": list(told)})
        return
    for entry in told:
        say.line(json.dumps(entry, ensure_ascii=True))


def _parsed(one: dict[str, Any]) -> dict[str, Any]:
    try:
        entry = json.loads(one["entry"])
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise Untrusted(f"log entry {one['seq']} is no JSON object", hint="borrow audit verify")
    facts = entry.pop("facts", {})
    # The facts beside the envelope, which wins: nothing logged can pose as seq, time or kind.
    return (facts if isinstance(facts, dict) else {}) | entry
