"""How a device joins: an invitation is a one-time key, and the first signature it makes.

Only the public half is kept. A second use means that somebody else had the key too: the first
device goes, for one of the two is a thief's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from borrow.minter import schema
from borrow.minter.devices import changed
from borrow.minter.port import Device
from borrow.minter.records import load_device
from borrow.minter.store import Keep
from borrow.minter.suspension import suspend
from borrow.policy.people import canonical
from borrow.protocol.enrolment import INVITATION_LIFE, verify_software_statement
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.ids import ENTROPY_BYTES, new_client_id
from borrow.protocol.keys import PublicKeys, load_key, public_jwk, thumbprint
from borrow.protocol.strict import from_b64url, parse_object

if TYPE_CHECKING:
    from typing import Any

    from joserfc.jwk import ECKey
    from sqlalchemy import Row

    from borrow.minter.store import Step

_NEW = "ask for a new invitation: borrow server invite PERSON"


def invite(step: Step, person: str, key: ECKey) -> float:
    """Keep the public half of `key` for `person`; returns the end of its life."""
    pin, expires_at = thumbprint(key), step.now + INVITATION_LIFE
    step.leaf("device.invite", person, person=person, invitation=pin, expires_at=expires_at)
    step.run(
        insert(schema.invitations).values(
            pin=pin, person=person, jwk=public_jwk(key, "sig"), expires_at=expires_at, used_by=""
        )
    )
    return expires_at


def register(step: Step, token: str, *, issuer: str) -> Device:
    """The device that `token` (a software statement) introduces.

    1. the invitation named by `kid` is one of ours
    2. its key signed this statement, now, for us (the approver cannot swap the device's keys)
    3. it was not used before: else the first device is removed, for one of the two is a thief's
    4. it is still young
    5. it is for this person, and the device's keys are nobody else's
    """
    table = schema.invitations
    row = step.one(select(table).where(table.c.pin == _kid_of(token)))
    if row is None:
        raise Untrusted("the software statement is signed by no invitation of ours", hint=_NEW)
    key = load_key(row.jwk, private=False)
    statement = verify_software_statement(token, key, issuer=issuer, now=step.now)
    if row.used_by:
        raise Keep(_used_twice(step, row))
    if step.now >= row.expires_at:
        raise Refused("the invitation has expired", hint=_NEW, state="expired")
    if canonical(statement.person) != row.person:
        raise Untrusted("the invitation is for another person", hint=_NEW, state="unknown_user")
    kids = [kid for use in ("sig", "enc") for kid in PublicKeys.from_jwks(statement.jwks, use).kids]
    keys = schema.device_keys
    if len(set(kids)) != len(kids) or step.all(select(keys).where(keys.c.kid.in_(kids))):
        raise Untrusted("a key of the device is registered already", hint="make fresh keys")
    client_id = new_client_id(step.now, step.entropy(ENTROPY_BYTES))
    device = Device(client_id, row.person, statement.device_name, statement.jwks, "active")
    step.leaf(
        "device.add",
        device.owner,
        device=client_id,
        person=device.owner,
        name=device.name,
        keys=kids,
        invitation=row.pin,
    )
    step.run(
        insert(schema.devices).values(
            client_id=client_id,
            owner=device.owner,
            name=device.name,
            jwks=device.jwks,
            state=device.state,
            added_at=step.now,
        )
    )
    for kid in kids:
        step.run(insert(keys).values(kid=kid, client_id=client_id))
    step.run(update(table).where(table.c.pin == row.pin).values(used_by=client_id))
    step.change(changed("device_added", device, device.owner))
    return device


def _used_twice(step: Step, invitation: Row[Any]) -> Refused:
    step.leaf("device.invitation_reused", invitation.person, invitation=invitation.pin)
    first = load_device(step, invitation.used_by)
    if first.state != "removed":
        suspend(step, first, "removed", by="minter", why="its invitation was used twice")
    return Refused(
        "the invitation was used before, so the device that used it was removed",
        hint=_NEW,
        state="invitation_used",
    )


def _kid_of(token: str) -> str:
    header = parse_object(from_b64url(token.split(".")[0], "token header"), "token header")
    kid = header.get("kid")
    return kid if isinstance(kid, str) and kid.isascii() else ""  # a thumbprint always is
