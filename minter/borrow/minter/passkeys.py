"""Passkeys of people: what one proves, and how it goes. How one comes is `registration.py`'s."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import select, update

from borrow.minter import schema
from borrow.minter.assertions import credential_id_of, verify_assertion
from borrow.minter.port import Change, Passkey, PasskeyState
from borrow.minter.voices import withdraw
from borrow.protocol.errors import Misconfigured, Refused, Untrusted
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Row, Select

    from borrow.minter.port import RelyingParty
    from borrow.minter.store import Reader, Step


# Before a passkey's id in an invitation's `used_by`; devices' ids stand alone.
USED_BY: Final = "passkey:"


@dataclass(frozen=True, slots=True)
class Asserted:
    """A passkey's answer that held. `kept` is what a record keeps of it."""

    passkey: Passkey
    kept: str


def needed(party: RelyingParty | None) -> RelyingParty:
    if party is None:
        raise Misconfigured(
            "passkeys need an https name",
            hint="set `public_url` in server.toml to the address that people open",
        )
    return party


def prove(step: Step, answer: str, challenge: bytes, rp: RelyingParty) -> Asserted:
    """The passkey that signed `challenge`, its use counted. Raises Untrusted, or Refused."""
    row = step.one(by_id(credential_id_of(answer)))
    if row is None or row.state != "active":
        raise Refused(
            "this passkey is not registered here",
            hint="use another one, or ask for an invitation",
            state="unknown_passkey",
        )
    if step.now < row.counts_from:
        hours = max(1, round((row.counts_from - step.now) / 3600))
        raise Refused(
            f"this passkey counts in {hours} hours",
            hint="nobody's own evidence vouched for it, so its person gets time to object",
            state="passkey_waits",
        )
    said = verify_assertion(
        answer,
        challenge=challenge,
        party=rp,
        public_key=row.public_key,
        sign_count=row.sign_count,
    )
    if said.credential_id != row.credential_id:
        raise Untrusted("the passkey's answer does not hold", state="passkey_signature")
    table = schema.passkeys
    step.run(
        update(table)
        .where(table.c.credential_id == row.credential_id)
        .values(sign_count=said.sign_count, last_used_at=step.now, backed_up=said.backed_up)
    )
    return Asserted(_from_row(row), said.kept)


def remove(step: Step, credential_id: str, person: str, *, by: str, why: str) -> None:
    """Of `person`; one that is gone already stays so."""
    row = step.one(by_id(credential_id))
    if row is None or row.person != person:
        raise Refused(
            "there is no such passkey", hint="`borrow passkey list`", state="unknown_passkey"
        )
    if row.state == "removed":
        return
    passkey = _from_row(row)
    step.leaf(
        "passkey.remove", person, by, person=person, passkey=short_id(credential_id), by=by, why=why
    )
    table = schema.passkeys
    step.run(update(table).where(table.c.credential_id == credential_id).values(state="removed"))
    withdraw(step, [credential_id], by=by, why="the passkey was removed")
    step.change(changed("passkey_removed", passkey, by))


def of_person(reader: Reader, person: str) -> tuple[Passkey, ...]:
    """The active ones, oldest first."""
    table = schema.passkeys
    where = (table.c.person == person) & (table.c.state == "active")
    rows = reader.all(select(table).where(where).order_by(table.c.added_at))
    return tuple(_from_row(row) for row in rows)


def person_of(reader: Reader, credential_id: str) -> str | None:
    """Whose it is; None if it counts no more."""
    row = reader.one(by_id(credential_id))
    return str(row.person) if row is not None and row.state == "active" else None


def short_id(credential_id: str) -> str:
    """A name for log and notices: a credential id may have a thousand bytes."""
    return b64url(hashlib.sha256(credential_id.encode()).digest()[:12])


def by_id(credential_id: str) -> Select[Any]:
    return select(schema.passkeys).where(schema.passkeys.c.credential_id == credential_id)


def _from_row(row: Row[Any]) -> Passkey:
    return Passkey(
        row.credential_id,
        row.person,
        row.name,
        row.added_at,
        row.counts_from,
        row.last_used_at,
        row.backed_up,
        cast("PasskeyState", row.state),
    )


def changed(kind: str, passkey: Passkey, by: str) -> Change:
    details = {"name": passkey.name, "by": by, "counts_from": int(passkey.counts_from)}
    subject = f"passkey:{short_id(passkey.credential_id)}"
    return Change(kind, passkey.person, "", subject, details=details)
