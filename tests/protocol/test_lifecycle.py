"""I5 and I7: terminal states are final, and nothing leads from a no to a yes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.protocol.errors import Refused
from borrow.protocol.lifecycle import (
    GRANT,
    REQUEST,
    GrantEvent,
    GrantState,
    RequestEvent,
    RequestState,
    advance_grant,
    advance_request,
    is_final,
)


def test_the_tables_name_every_state() -> None:
    assert set(REQUEST) == set(RequestState)
    assert set(GRANT) == set(GrantState)


@given(st.lists(st.sampled_from(RequestEvent), max_size=8))
def test_no_sequence_of_events_leads_from_a_final_state(sequence: list[RequestEvent]) -> None:
    state, ended = RequestState.PENDING, None
    for event in sequence:
        try:
            state = advance_request(state, event)
        except Refused as error:
            assert error.state == "wrong_state"
        if ended is not None:
            assert state == ended
        if is_final(state):
            ended = state


@given(st.lists(st.sampled_from(RequestEvent), max_size=8))
def test_redeemed_needs_an_approval_before(sequence: list[RequestEvent]) -> None:
    state, approved = RequestState.PENDING, False
    for event in sequence:
        try:
            state = advance_request(state, event)
        except Refused:
            continue
        approved |= state is RequestState.APPROVED
        assert approved or state is not RequestState.REDEEMED


def test_a_grant_ends_once() -> None:
    for event in GrantEvent:
        over = advance_grant(GrantState.ACTIVE, event)
        assert is_final(over)
        for again in GrantEvent:
            with pytest.raises(Refused):
                advance_grant(over, again)
