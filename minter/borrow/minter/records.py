"""Rows as typed values, and what of them people may see (`views`). Nothing here writes.

A deadline counts the moment it is over, whether or not `sweep` has moved the row yet: `state_at`
is what every view and every check uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, cast

from sqlalchemy import select

from borrow.minter import schema, voices
from borrow.minter.port import Device, DeviceState, GrantView, Mode, RequestView
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.ids import ClientId, GrantId, RequestId, kind_of
from borrow.protocol.lifecycle import GrantState, RequestState
from borrow.protocol.request import AwsRole

if TYPE_CHECKING:
    from sqlalchemy import Row

    from borrow.minter.store import Reader
    from borrow.minter.voices import Voice


@dataclass(frozen=True, slots=True)
class Request:
    """One row of `requests`, as stored."""

    request_id: RequestId
    request_hash: str
    client_id: ClientId
    person: str
    jws: str = field(repr=False)
    state: RequestState
    role: str
    arn: str
    seconds: int
    session_policy: str
    justification: str
    ticket: str
    account: str
    tier: str
    share: str
    rule: str
    mode: Mode
    factors: tuple[str, ...]
    every: bool
    number_match: bool
    k: int
    deciders: tuple[str, ...]
    number: str
    words: str
    context: dict[str, Any]
    group: str
    via: str
    agent: str
    extends: str
    asked_at: float
    mint_seconds: int
    deny_iam: bool
    pending_until: float
    claim_seconds: int
    claim_until: float
    wrong_numbers: int
    reason: str
    earlier_denials: int
    grant_id: str

    def state_at(self, now: float) -> RequestState:
        if self.state is RequestState.PENDING and now >= self.pending_until:
            return RequestState.EXPIRED
        if self.state is RequestState.APPROVED and now >= self.claim_until:
            return RequestState.LAPSED
        return self.state

    def granted(self, seconds: int) -> AwsRole:
        """What a yes for `seconds` grants. The reason is bound by the request's hash already."""
        return AwsRole(self.role, self.arn, seconds, self.session_policy)

    def asked(self) -> AwsRole:
        return AwsRole(
            self.role,
            self.arn,
            self.seconds,
            self.session_policy,
            self.justification,
            self.ticket,
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of `grants`, as stored."""

    grant_id: GrantId
    request_id: RequestId
    client_id: ClientId
    person: str
    seconds: int
    extension: int
    opened_at: float
    expires_at: float
    state: GrantState

    def state_at(self, now: float) -> GrantState:
        if self.state is GrantState.ACTIVE and now >= self.expires_at:
            return GrantState.EXPIRED
        return self.state


@dataclass(frozen=True, slots=True)
class Decision:
    approver: str
    decision: str
    method: str
    seconds: int


def request_from(row: Row[Any]) -> Request:
    values = {f.name: getattr(row, f.name) for f in fields(Request)}
    values["state"] = RequestState(row.state)
    values["factors"] = tuple(row.factors)
    values["deciders"] = tuple(row.deciders)
    return Request(**values)


def grant_from(row: Row[Any]) -> Grant:
    values = {f.name: getattr(row, f.name) for f in fields(Grant)}
    return Grant(**values | {"state": GrantState(row.state)})


def device_from(row: Row[Any]) -> Device:
    state = cast("DeviceState", row.state)
    return Device(ClientId(row.client_id), row.owner, row.name, row.jwks, state)


def load_request(reader: Reader, request_id: str) -> Request:
    _named("request", "r", request_id)
    row = reader.one(select(schema.requests).where(schema.requests.c.request_id == request_id))
    if row is None:
        raise _unknown("request", request_id)
    return request_from(row)


def load_grant(reader: Reader, grant_id: str) -> Grant:
    _named("grant", "g", grant_id)
    row = reader.one(select(schema.grants).where(schema.grants.c.grant_id == grant_id))
    if row is None:
        raise _unknown("grant", grant_id)
    return grant_from(row)


def load_device(reader: Reader, client_id: str) -> Device:
    _named("device", "d", client_id)
    row = reader.one(select(schema.devices).where(schema.devices.c.client_id == client_id))
    if row is None:
        raise Refused(
            f"no device {client_id} is registered here",
            hint="join again with a new invitation",
            state="frozen",
        )
    return device_from(row)


def active_device(reader: Reader, client_id: str) -> Device:
    """The device, or Refused with state `frozen` unless it may act."""
    device = load_device(reader, client_id)
    if device.state == "removed":
        raise Refused(
            f"the device {client_id} was removed",
            hint="join again with a new invitation",
            state="frozen",
        )
    if device.state != "active":
        raise Refused(
            f"the device {client_id} is frozen",
            hint="`borrow unfreeze` says what undoes it",
            state="frozen",
        )
    return device


def not_this(what: Literal["request", "grant"], name: str) -> Refused:
    """The answer to a device that names another device's things: as if they were not there."""
    return _unknown(what, name)


def _named(what: str, kind: str, name: str) -> None:
    if kind_of(name) != kind:
        raise Untrusted(f"that is not the id of a {what}", hint=f"such ids look like {kind}-…")


def _unknown(what: str, name: str) -> Refused:
    return Refused(f"there is no {what} {name}", state=f"unknown_{what}")


def decisions_on(reader: Reader, request_id: str) -> list[Decision]:
    table = schema.decisions
    rows = reader.all(select(table).where(table.c.request_id == request_id).order_by(table.c.id))
    return [Decision(row.approver, row.decision, row.method, row.seconds) for row in rows]


def yeses(reader: Reader, request: Request) -> tuple[Voice, ...]:
    """Those whose yes counts."""
    return voices.whole(request, decisions_on(reader, request.request_id))


def yes_methods(reader: Reader, request: Request) -> tuple[tuple[str, ...], ...]:
    """How each yes was proven: the kinds of evidence, by voice."""
    return tuple(each.methods for each in yeses(reader, request))


def request_view(reader: Reader, request: Request) -> RequestView:
    said = decisions_on(reader, request.request_id)
    heard = {each.approver for each in voices.whole(request, said)}
    heard |= {each.approver for each in said if each.decision != "approve"}
    return RequestView(
        request_id=request.request_id,
        request_hash=request.request_hash,
        client_id=request.client_id,
        person=request.person,
        state=request.state_at(reader.now),
        role=request.asked(),
        account=request.account,
        tier=request.tier,
        share=request.share,
        rule=request.rule,
        mode=request.mode,
        factors=request.factors,
        match=request.number_match,
        deciders=request.deciders,
        number=request.number,
        words=request.words,
        context=request.context,
        extends=request.extends,
        asked_at=request.asked_at,
        pending_until=request.pending_until,
        claim_until=request.claim_until,
        decided_by=tuple(dict.fromkeys(d.approver for d in said if d.approver in heard)),
        reason=request.reason,
        earlier_denials=request.earlier_denials,
        grant_id=GrantId(request.grant_id) if request.grant_id else None,
        jws=request.jws,
        every=request.every,
        halves=voices.halves(request, said),
    )


def grant_view(reader: Reader, grant: Grant, *, resumed: bool = False) -> GrantView:
    request = load_request(reader, grant.request_id)
    yes = yeses(reader, request)
    return GrantView(
        grant_id=grant.grant_id,
        request_id=grant.request_id,
        request_hash=request.request_hash,
        client_id=grant.client_id,
        person=grant.person,
        role=AwsRole(
            request.role,
            request.arn,
            grant.seconds,
            request.session_policy,
            request.justification,
            request.ticket,
        ),
        tier=request.tier,
        share=request.share,
        group=request.group,
        mode=request.mode,
        methods=tuple(dict.fromkeys(method for each in yes for method in each.methods)),
        approvers=tuple(each.approver for each in yes),
        opened_at=grant.opened_at,
        expires_at=grant.expires_at,
        state=grant.state_at(reader.now),
        resumed=resumed,
    )
