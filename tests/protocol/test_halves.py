"""Half a yes in words, for everybody alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.protocol.halves import (
    Half,
    lacking,
    read_halves,
    sentence,
    so_far,
    still_missing,
    to_json,
)

BO = "bo@example.com"
PHONE = Half(BO, ("passkey",), ("device",))
TRAY = Half(BO, ("device",), ("passkey",))


def test_each_half_is_told_to_others_and_to_whoever_said_it() -> None:
    assert sentence(PHONE) == f"{BO} said yes with a passkey; their workstation's yes is missing"
    assert sentence(TRAY) == f"{BO} said yes at their workstation; their passkey's yes is missing"
    assert sentence(TRAY, mine=True) == "you said yes at your workstation; " + lacking(
        ("passkey",), "your"
    )


def test_what_is_missing_of_ones_own_yes() -> None:
    one = {"factors": ["device", "passkey"], "every": True, "given": ["passkey"]}
    assert so_far(one) == "you said yes with a passkey; your workstation's yes is missing"
    assert so_far(one | {"given": []}) == ""
    assert still_missing({"state": "pending", "missing": ["passkey"]}).startswith("your passkey")
    assert still_missing({"state": "approved"}) == ""


def test_a_half_travels_as_json() -> None:
    assert read_halves([to_json(PHONE), to_json(TRAY)]) == (PHONE, TRAY)


@pytest.mark.parametrize(
    "odd",
    [None, 7, "half", {}, [None], [7], [{}], [{"person": 7}], [[]], [{"given": ["passkey"]}]],
)
def test_what_is_no_half_is_left_out(odd: object) -> None:
    assert read_halves(odd) == ()


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["person", "given", "missing", "factors"]), inner)
    ),
    max_leaves=20,
)


@given(anything, st.dictionaries(st.sampled_from(["given", "factors", "missing"]), anything))
def test_whatever_an_approver_sends_becomes_one_printable_line(
    listed: object, one: dict[str, Any]
) -> None:
    told = [sentence(each) for each in read_halves(listed)]
    for text in (*told, so_far(one), still_missing(one)):
        assert text.isprintable()
        assert len(text) < 1_500


def test_a_hostile_name_reaches_no_terminal() -> None:
    assert "\x1b" not in sentence(Half("\x1b[2J" + BO, ("\x1b",), ("\x07",)))
