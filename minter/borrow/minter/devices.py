"""Who is a known person, and the life of a device: active, frozen, removed.

How a device joins is `enrolment.py`'s; what ends when one is frozen is `suspension.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from borrow.minter import schema
from borrow.minter.port import Change, Device, DeviceState
from borrow.minter.voices import withdraw
from borrow.policy.people import canonical, is_person
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from borrow.minter.store import Step
    from borrow.policy.model import Policy

LOCAL = "local:"


def known_person(policy: Policy, person: str) -> str:
    """The canonical spelling of `person`, or Misconfigured unless the policy knows them."""
    name = canonical(person)
    if not is_person(name):
        raise Misconfigured(
            f"{person[:64]!r} is not a person", hint="name a mail address, or local:USER"
        )
    if not is_named(policy, name):
        raise Misconfigured(
            f"the policy names no {name!r}", hint="add them to a group, a rule or [admins] first"
        )
    return name


def is_named(policy: Policy, name: str) -> bool:
    """Whether the policy knows `name`, in its canonical spelling."""
    return (
        name.startswith(LOCAL)
        or name in policy.admins
        or any(name in group for group in policy.groups.values())
        or any(rule.scope.includes(name) or name in rule.approve.pool for rule in policy.rules)
    )


def set_state(step: Step, device: Device, state: DeviceState, *, by: str, why: str) -> None:
    """Write the leaf and the new state; the caller says what else ends."""
    step.leaf(
        f"device.{state}",
        device.owner,
        by,
        device=device.client_id,
        person=device.owner,
        by=by,
        why=why,
    )
    table = schema.devices
    where = (table.c.client_id == device.client_id) & (table.c.state == device.state)
    if step.run(update(table).where(where).values(state=state)) != 1:
        raise RuntimeError("the device's state moved within the step")
    if state != "active":
        kids = select(schema.device_keys.c.kid).where(
            schema.device_keys.c.client_id == device.client_id
        )
        withdraw(step, [row.kid for row in step.all(kids)], by=by, why=f"the device is {state}")
        step.change(changed(f"device_{state}", device, by))


def changed(kind: str, device: Device, by: str) -> Change:
    subject = f"device:{device.client_id}"
    details = {"name": device.name, "by": by}
    return Change(kind, device.owner, device.client_id, subject, details=details)
