"""Invitations: a one-time key for one person, by which one device or one passkey joins.

Only the public half is kept. A second use means that somebody else had the key too: what used it
first goes, for one of the two is a thief's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from borrow.minter import passkeys, schema
from borrow.minter.records import load_device
from borrow.minter.store import people_of
from borrow.minter.suspension import suspend
from borrow.protocol.enrolment import INVITATION_LIFE
from borrow.protocol.errors import Refused
from borrow.protocol.keys import public_jwk, thumbprint

if TYPE_CHECKING:
    from typing import Any

    from joserfc.jwk import ECKey
    from sqlalchemy import Row

    from borrow.minter.store import Reader, Step

NEW = "ask for a new invitation: borrow server invite PERSON"


def invite(step: Step, person: str, key: ECKey, *, made_by: str = "") -> float:
    """Keep the public half of `key` for `person`; returns the end of its life.

    `made_by` is who proved to be there for it; "" is the administrator's socket.
    """
    pin, expires_at = thumbprint(key), step.now + INVITATION_LIFE
    facts = {"by": made_by} if made_by else {}
    step.leaf(
        "device.invite",
        *people_of((person, made_by)),
        person=person,
        invitation=pin,
        expires_at=expires_at,
        **facts,
    )
    step.run(
        insert(schema.invitations).values(
            pin=pin,
            person=person,
            jwk=public_jwk(key, "sig"),
            expires_at=expires_at,
            used_by="",
            made_by=made_by,
        )
    )
    return expires_at


def find(reader: Reader, pin: str) -> Row[Any] | None:
    return reader.one(select(schema.invitations).where(schema.invitations.c.pin == pin))


def refuse_expired(reader: Reader, invitation: Row[Any]) -> None:
    if reader.now >= invitation.expires_at:
        raise Refused("the invitation has expired", hint=NEW, state="expired")


def use_for_device(step: Step, pin: str, client_id: str) -> None:
    _used_by(step, pin, client_id)


def use_for_passkey(step: Step, pin: str, credential_id: str) -> None:
    _used_by(step, pin, passkeys.USED_BY + credential_id)


def passkey_that_used(invitation: Row[Any]) -> str:
    """Its credential id, or ""."""
    by: str = invitation.used_by
    return by.removeprefix(passkeys.USED_BY) if by.startswith(passkeys.USED_BY) else ""


def used_twice(step: Step, invitation: Row[Any]) -> Refused:
    """Remove what used it first; the caller keeps the step and raises the result."""
    step.leaf("device.invitation_reused", invitation.person, invitation=invitation.pin)
    why = "its invitation was used twice"
    if credential_id := passkey_that_used(invitation):
        what = "passkey"
        passkeys.remove(step, credential_id, invitation.person, by="minter", why=why)
    else:
        what, first = "device", load_device(step, invitation.used_by)
        if first.state != "removed":
            suspend(step, first, "removed", by="minter", why=why)
    return Refused(
        f"the invitation was used before, so the {what} that used it was removed",
        hint=NEW,
        state="invitation_used",
    )


def _used_by(step: Step, pin: str, name: str) -> None:
    table = schema.invitations
    step.run(update(table).where(table.c.pin == pin).values(used_by=name))
