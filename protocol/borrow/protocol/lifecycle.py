"""The two lives: of a request and of a grant (PROTOCOL "Lives"), each as one table.

What is not in a table is refused and the caller's state stays. Terminal states have empty rows, so
nothing leads out of them. Writing the log leaf before an effect is the minter's duty.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from borrow.protocol.errors import Refused


class RequestState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REDEEMED = "redeemed"
    DENIED = "denied"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    CANCELLED = "cancelled"
    REVOKED = "revoked"


class RequestEvent(StrEnum):
    APPROVE = "approve"  # the k-th valid yes, or the policy's own for mode auto
    DENY = "deny"
    DEADLINE = "deadline"  # `pending` is over
    CANCEL = "cancel"  # by the asking device
    REVOKE = "revoke"  # suspension, report, admin, policy
    REDEEM = "redeem"
    CLAIM_OVER = "claim_over"  # `claim_by` is over


class GrantState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    RELEASED = "released"
    REVOKED = "revoked"


class GrantEvent(StrEnum):
    END = "end"
    RELEASE = "release"  # given back by its device, or replaced by its extension
    REVOKE = "revoke"  # admin, report, suspension


REQUEST: Final[dict[RequestState, dict[RequestEvent, RequestState]]] = {
    RequestState.PENDING: {
        RequestEvent.APPROVE: RequestState.APPROVED,
        RequestEvent.DENY: RequestState.DENIED,
        RequestEvent.DEADLINE: RequestState.EXPIRED,
        RequestEvent.CANCEL: RequestState.CANCELLED,
        RequestEvent.REVOKE: RequestState.REVOKED,
    },
    RequestState.APPROVED: {
        RequestEvent.REDEEM: RequestState.REDEEMED,
        RequestEvent.CLAIM_OVER: RequestState.LAPSED,
        RequestEvent.CANCEL: RequestState.CANCELLED,
        RequestEvent.REVOKE: RequestState.REVOKED,
    },
    RequestState.REDEEMED: {},
    RequestState.DENIED: {},
    RequestState.EXPIRED: {},
    RequestState.LAPSED: {},
    RequestState.CANCELLED: {},
    RequestState.REVOKED: {},
}

GRANT: Final[dict[GrantState, dict[GrantEvent, GrantState]]] = {
    GrantState.ACTIVE: {
        GrantEvent.END: GrantState.EXPIRED,
        GrantEvent.RELEASE: GrantState.RELEASED,
        GrantEvent.REVOKE: GrantState.REVOKED,
    },
    GrantState.EXPIRED: {},
    GrantState.RELEASED: {},
    GrantState.REVOKED: {},
}


def advance_request(state: RequestState, event: RequestEvent) -> RequestState:
    """The next state, or Refused with state `wrong_state`."""
    following = REQUEST[state].get(event)
    if following is None:
        raise Refused(f"the request is {state} already", state="wrong_state")
    return following


def advance_grant(state: GrantState, event: GrantEvent) -> GrantState:
    """The next state, or Refused with state `wrong_state`."""
    following = GRANT[state].get(event)
    if following is None:
        raise Refused(f"the grant is {state} already", state="wrong_state")
    return following


def is_final(state: RequestState | GrantState) -> bool:
    if isinstance(state, RequestState):
        return not REQUEST[state]
    return not GRANT[state]
