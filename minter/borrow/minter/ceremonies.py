"""Challenges for passkeys: made here, good once and for five minutes, found by their hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, update

from borrow.minter import schema
from borrow.protocol.ceremony import Ceremony, Purpose, challenge_of, read_ceremony
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from borrow.minter.store import Step

LIFE: Final = 300.0  # seconds to find the key and touch it
# Kept at a time: anybody may open the page that signs in. The oldest makes room, so that strangers
# who open many keep nobody out who needs no longer than they take for all of these.
MOST: Final = 2_000
_NONCE_BYTES: Final = 16
_AGAIN = "open the page again"


def issue(
    step: Step, issuer: str, purpose: Purpose, person: str = "", *, invitation: str = ""
) -> bytes:
    """The exact bytes whose SHA-256 is the challenge."""
    table = schema.ceremonies
    step.run(delete(table).where(table.c.not_after <= step.now))
    surplus = step.count(select(func.count()).select_from(table)) - MOST + 1
    if surplus > 0:
        oldest = select(table.c.challenge).order_by(table.c.not_after).limit(surplus)
        step.run(delete(table).where(table.c.challenge.in_(oldest)))
    end = step.now + LIFE
    ceremony = Ceremony(
        issuer=issuer,
        purpose=purpose,
        person=person,
        nonce=b64url(step.entropy(_NONCE_BYTES)),
        issued_at=int(step.now),
        not_after=int(end),
        invitation=invitation,
    )
    data = ceremony.to_bytes()
    step.run(
        insert(table).values(
            challenge=b64url(challenge_of(data)), data=data, not_after=end, used=False
        )
    )
    return data


def use(step: Step, challenge: bytes, purpose: Purpose, *, issuer: str) -> Ceremony:
    """What was issued under `challenge`, used up now. Raises unless it is ours, fresh and for this.

    The caller's step must end well for the use to count; a failed signature may be tried again.
    """
    table = schema.ceremonies
    where = table.c.challenge == b64url(challenge)
    row = step.one(select(table).where(where))
    if row is None or step.now >= row.not_after:
        raise Refused("that took too long", hint=_AGAIN, state="passkey_challenge")
    if row.used:
        raise Untrusted("the passkey's answer was used before", state="replayed")
    ceremony = read_ceremony(row.data)
    if ceremony.purpose != purpose or ceremony.issuer != issuer:
        raise Untrusted("the passkey was used for something else", state="passkey_challenge")
    step.run(update(table).where(where).values(used=True))
    return ceremony
