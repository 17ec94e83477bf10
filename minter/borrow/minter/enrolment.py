"""How a device joins: by the first signature that an invitation's one-time key makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from borrow.minter import invitations, schema
from borrow.minter.devices import changed
from borrow.minter.port import Device
from borrow.minter.store import Keep
from borrow.policy.people import canonical
from borrow.protocol.enrolment import verify_software_statement
from borrow.protocol.errors import Untrusted
from borrow.protocol.ids import ENTROPY_BYTES, new_client_id
from borrow.protocol.keys import PublicKeys, load_key
from borrow.protocol.strict import from_b64url, parse_object

if TYPE_CHECKING:
    from borrow.minter.store import Step


def register(step: Step, token: str, *, issuer: str) -> Device:
    """The device that `token` (a software statement) introduces.

    1. the invitation named by `kid` is one of ours
    2. its key signed this statement, now, for us (the approver cannot swap the device's keys)
    3. it was not used before: else the first device is removed, for one of the two is a thief's
    4. it is still young
    5. it is for this person, and the device's keys are nobody else's
    """
    row = invitations.find(step, _kid_of(token))
    if row is None:
        raise Untrusted(
            "the software statement is signed by no invitation of ours", hint=invitations.NEW
        )
    key = load_key(row.jwk, private=False)
    statement = verify_software_statement(token, key, issuer=issuer, now=step.now)
    if row.used_by:
        raise Keep(invitations.used_twice(step, row))
    invitations.refuse_expired(step, row)
    if canonical(statement.person) != row.person:
        raise Untrusted(
            "the invitation is for another person", hint=invitations.NEW, state="unknown_user"
        )
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
    invitations.use_for_device(step, row.pin, client_id)
    step.change(changed("device_added", device, device.owner))
    return device


def _kid_of(token: str) -> str:
    header = parse_object(from_b64url(token.split(".")[0], "token header"), "token header")
    kid = header.get("kid")
    return kid if isinstance(kid, str) and kid.isascii() else ""  # a thumbprint always is
