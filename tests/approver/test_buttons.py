"""Three numbers on an ntfy topic: what may be asked so, what is sent, and what an answer is."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from borrow.approver.channels import buttons
from borrow.minter.port import RequestView
from borrow.protocol.ids import ClientId, RequestId
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.request import AwsRole

ME = "local:ann"
TOKEN = "t" * 24


def view(**changes: Any) -> RequestView:
    members: dict[str, Any] = {
        "request_id": RequestId("r-01jv0000000000000000000000"),
        "request_hash": "hash",
        "client_id": ClientId("d-1"),
        "person": ME,
        "state": RequestState.PENDING,
        "role": AwsRole("dev-write", "arn", 1800, justification="why"),
        "account": "dev",
        "tier": "low",
        "share": "device",
        "rule": "dev",
        "mode": "self",
        "factors": ("consent", "totp"),
        "match": True,
        "deciders": (ME,),
        "number": "007",
        "words": "tufib-joroj",
        "context": {},
        "extends": "",
        "asked_at": 0.0,
        "pending_until": 900.0,
        "claim_until": 0.0,
        "decided_by": (),
        "reason": "",
        "earlier_denials": 0,
        "grant_id": None,
    }
    return RequestView(**(members | changes))


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"tier": "normal"}, False),
        ({"tier": "sensitive"}, False),
        ({"tier": ""}, False),
        ({"mode": "peer"}, False),
        ({"mode": "auto"}, False),
        ({"person": "local:bo"}, False),
        ({"match": False}, False),
        ({"factors": ("totp", "passkey")}, False),
        ({"context": {"agent": "claude-code"}}, False),
        ({"context": {"agent": ""}}, True),
        ({"state": RequestState.APPROVED}, False),
        ({"state": RequestState.EXPIRED}, False),
        ({"number": ""}, False),
        ({"number": "٠٠٧"}, False),
    ],
    ids=repr,
)
def test_what_may_be_pressed_and_what_may_not(changes: dict[str, Any], *, may: bool) -> None:
    assert buttons.may_press(view(**changes), ME) is may


def test_three_different_numbers_in_any_order_and_the_right_one_among_them() -> None:
    random, places = Random(1), set()
    for _ in range(60):
        asked = buttons.question(view(), TOKEN, random)
        assert len(set(asked.numbers)) == 3
        assert all(len(number) == 3 and number.isdigit() for number in asked.numbers)
        places.add(asked.numbers.index("007"))
    assert places == {0, 1, 2}


def test_the_message_has_fixed_words_and_its_id_is_opaque_and_stays() -> None:
    asked = buttons.question(view(), TOKEN, Random(1))
    handle = buttons.handle_of(asked.request, "topic")
    shown = buttons.actions(asked, "https://ntfy.example.com/reply")
    body, headers = buttons.message(buttons.ASK, handle, loud=True, actions=shown)
    assert handle == buttons.handle_of(asked.request, "topic")
    assert handle != buttons.handle_of(asked.request, "other topic")
    assert headers["X-Sequence-ID"] == handle
    assert headers["Actions"].isascii()
    assert "\n" not in "".join(headers.values())
    for secret in (ME, "dev-write", "why", "01jv0000", "tufib"):
        assert secret not in f"{headers} {body!r}"
    assert [each["label"] for each in json.loads(shown)] == list(asked.numbers)
    assert TOKEN not in repr(asked)
    assert "007" not in repr(asked)


def test_an_answer_is_a_button_of_ours_exactly() -> None:
    asked = buttons.question(view(), TOKEN, Random(1))
    other = buttons.question(view(request_id=RequestId("r-2"), number="008"), "u" * 24, Random(2))
    wrong = next(number for number in asked.numbers if number != "007")
    unused = next(f"{n:03d}" for n in range(1000) if f"{n:03d}" not in asked.numbers)
    both = (other, asked)
    assert buttons.answered(f"{TOKEN} 007", both) == (asked, "007")
    assert buttons.answered(f"{TOKEN} {wrong}", both) == (asked, wrong)
    for text in (
        f"{TOKEN} {unused}",
        f"{TOKEN} 7",
        f"{TOKEN} 0070",
        f"{TOKEN} 007\n",
        f" {TOKEN} 007",
        f"{TOKEN}  007",
        f"{'T' * 24} 007",
        f"{TOKEN[:-1]} 007",
        f"{'u' * 24} 007",
        f"{TOKEN} ٠٠٧",
        "",
    ):
        assert buttons.answered(text, both) is None, text
    assert buttons.answered(f"{TOKEN} 007", ()) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"\xff",
        b'{"event": "message"}',
        b'{"event": "message", "time": "1"}',
        b'{"event": "message", "time": true}',
        b'{"event": "message", "time": 1.5}',
        b'{"event": "message", "time": -1}',
        b'{"event": "message", "time": NaN}',
        b'{"event": "message", "time": 9999999999999999}',
        b'{"event": 1, "time": 1}',
        b'{"event": "message", "event": "open", "time": 1}',
        b'{"event": "message", "time": 1, "message": "' + b"x" * 17_000 + b'"}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_event_is_ignored(line: bytes) -> None:
    assert buttons.read_event(line) is None


def test_an_event_is_read_whatever_else_is_in_it() -> None:
    event = {"id": "x", "time": 7, "event": "message", "topic": "t", "message": "hi", "tags": [1]}
    assert buttons.read_event(json.dumps(event).encode() + b"\n") == buttons.Event(
        "message", 7, "hi"
    )
    odd = buttons.read_event(b'{"event": "open", "time": 7, "message": 5}')
    assert odd == buttons.Event("open", 7, "")
