"""What ends with a device or a report: its open requests and its live grants, in the same step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from borrow.minter import decisions, devices, grants, requests, schema
from borrow.minter.decisions import Said
from borrow.minter.records import (
    grant_from,
    load_device,
    load_grant,
    load_request,
    request_from,
)
from borrow.protocol.errors import Refused
from borrow.protocol.ids import kind_of
from borrow.protocol.lifecycle import GrantEvent, GrantState, RequestEvent, RequestState

if TYPE_CHECKING:
    from borrow.minter.port import Device, DeviceState
    from borrow.minter.records import Request
    from borrow.minter.secret_files import MinterSecrets
    from borrow.minter.store import Step
    from borrow.policy.model import Policy

NOT_ME = "reported: that was not me"
_OPEN = (RequestState.PENDING, RequestState.APPROVED)


def suspend(step: Step, device: Device, state: DeviceState, *, by: str, why: str) -> None:
    """Freeze or remove `device`; whatever it asked for or holds is revoked."""
    devices.set_state(step, device, state, by=by, why=why)
    for request in _open_requests(step, device):
        requests.move(step, request, RequestEvent.REVOKE, by=by, why=why)
    _revoke_grants(step, device, by=by, why=why)


def may_report(policy: Policy, owner: str, person: str) -> bool:
    return person == owner or person in policy.admins


def report(
    step: Step,
    policy: Policy,
    subject: str,
    person: str,
    *,
    issuer: str,
    keys: MinterSecrets,
) -> None:
    """ "That was not me": deny what is pending, revoke what was given, freeze the device.

    `subject` is a request or grant of the device. Its owner and admins may; twice is once.
    """
    if kind_of(subject) == "g":
        client_id = load_grant(step, subject).client_id
    else:
        client_id = load_request(step, subject).client_id
    device = load_device(step, client_id)
    if not may_report(policy, device.owner, person):
        raise Refused("that is another person's device", state="not_a_decider")
    step.leaf("report", device.owner, person, subject=subject, by=person, device=client_id)
    for request in _open_requests(step, device):
        if request.state is RequestState.PENDING:
            said = Said(person, "report", None, None, NOT_ME)
            decisions.deny(step, request, said, issuer=issuer, keys=keys)
        else:
            requests.move(step, request, RequestEvent.REVOKE, by=person, why=NOT_ME)
    _revoke_grants(step, device, by=person, why=NOT_ME)
    if device.state == "active":
        devices.set_state(step, device, "frozen", by=person, why=NOT_ME)


def unfreeze(step: Step, device: Device, *, by: str, alone: str = "") -> None:
    """Somebody else than the owner lets it act again; nothing that ended comes back.

    `alone` says how the owner proved it where there is nobody else.
    """
    if not alone and (not by or by == device.owner):
        raise Refused(
            "somebody else has to unfreeze your device",
            hint="ask an administrator",
            state="self_approval",
        )
    if device.state == "removed":
        raise Refused("the device was removed", hint="join again", state="wrong_state")
    if device.state == "frozen":
        devices.set_state(step, device, "active", by=by, why=alone or "unfrozen")
        step.change(devices.changed("device_unfrozen", device, by))


def _open_requests(step: Step, device: Device) -> list[Request]:
    """Pending and approved ones whose deadline is not over; those that are over move on."""
    table = schema.requests
    where = (table.c.client_id == device.client_id) & table.c.state.in_(_OPEN)
    rows = step.all(select(table).where(where).order_by(table.c.asked_at))
    found = [requests.due(step, request_from(row)) for row in rows]
    return [request for request in found if request.state in _OPEN]


def _revoke_grants(step: Step, device: Device, *, by: str, why: str) -> None:
    table = schema.grants
    where = (table.c.client_id == device.client_id) & (table.c.state == GrantState.ACTIVE)
    for row in step.all(select(table).where(where)):
        grant = grants.due(step, grant_from(row))
        if grant.state is GrantState.ACTIVE:
            grants.move(step, grant, GrantEvent.REVOKE, by=by, why=why)
