"""How requests and grants look from outside, each in one shape for everyone who may see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.protocol.halves import Half, to_json
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from borrow.minter.port import GrantView, RequestView


def request_summary(view: RequestView, person: str) -> dict[str, Any]:
    """For `person`'s inbox. The digits show in mode `peer` only: in mode `self` they must be read
    off the asking workstation, or the match proves nothing."""
    out = {
        "request": view.request_id,
        "request_hash": view.request_hash,
        "person": view.person,
        "role": view.role.identifier,
        "arn": view.role.arn,
        "account": view.account,
        "tier": view.tier,
        "rule": view.rule,
        "mode": view.mode,
        "factors": list(view.factors),
        "match": view.match,
        "words": view.words,
        "asked_at": int(view.asked_at),
        "expires_at": int(view.pending_until),
        "seconds": view.role.seconds,
        "justification": view.role.justification,
        "ticket": view.role.ticket,
        "session_policy": view.role.session_policy,
        "context": view.context,
        "extends": view.extends,
        "earlier_denials": view.earlier_denials,
        "state": view.state.value,
        "mine": view.person == person,
        "deciders": list(view.deciders),
        "decided_by": list(view.decided_by),
    }
    if view.every:
        mine = next((each.given for each in view.halves if each.approver == person), ())
        out |= {"every": True, "given": list(mine), "halves": halves_of(view, but=person)}
    return out | ({"number": view.number} if view.mode == "peer" else {})


def halves_of(view: RequestView, *, but: str = "") -> list[dict[str, Any]]:
    """Who else than `but` said a part of a yes, and what is missing of it."""
    return [
        to_json(Half(each.approver, each.given, each.missing))
        for each in view.halves
        if each.approver != but
    ]


def last_summary(view: RequestView) -> dict[str, Any]:
    """The same person's last decided request for the same role, to compare with."""
    return {
        "request": view.request_id,
        "state": "denied" if view.state is RequestState.DENIED else "approved",
        "asked_at": int(view.asked_at),
        "seconds": view.role.seconds,
        "justification": view.role.justification,
        "ticket": view.role.ticket,
        "context": view.context,
        "decided_by": list(view.decided_by),
    }


def grant_summary(view: GrantView) -> dict[str, Any]:
    return {
        "grant": view.grant_id,
        "request": view.request_id,
        "client": view.client_id,
        "person": view.person,
        "role": view.role.identifier,
        "arn": view.role.arn,
        "tier": view.tier,
        "share": view.share,
        "group": view.group,
        "mode": view.mode,
        "methods": list(view.methods),
        "approvers": list(view.approvers),
        "opened_at": int(view.opened_at),
        "expires_at": int(view.expires_at),
        "state": view.state.value,
    }
