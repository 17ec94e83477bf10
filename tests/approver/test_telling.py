"""What people read: hostile text is inert, the digits are absent, the right ones are told."""

from __future__ import annotations

from typing import Any

import pytest

from borrow.approver.telling import asked_letters, letters_for, notice
from borrow.minter.port import Change, RequestView
from borrow.protocol.events import NOTICE, SESSION_REVOKED
from borrow.protocol.ids import ClientId, RequestId
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.request import AwsRole

GRANT = "grant:g-01jv0000000000000000000000"
KINDS = (
    "request_denied",
    "request_expired",
    "request_lapsed",
    "request_cancelled",
    "request_revoked",
    "request_half",
    "grant_opened",
    "grant_resumed",
    "grant_expired",
    "grant_released",
    "grant_revoked",
    "device_frozen",
    "device_unfrozen",
    "device_removed",
    "device_added",
    "totp_active",
    "passkey_added",
    "passkey_removed",
)


def change(kind: str, subject: str = GRANT, **details: Any) -> Change:
    return Change(kind, "ann@example.com", "d-1", subject, "prod-admin", details)


def view(**changes: Any) -> RequestView:
    members: dict[str, Any] = {
        "request_id": RequestId("r-01jv0000000000000000000000"),
        "request_hash": "hash",
        "client_id": ClientId("d-1"),
        "person": "ann@example.com",
        "state": RequestState.PENDING,
        "role": AwsRole("prod-admin", "arn", 1800, justification="why\x1b]8;;http://x\x07not"),
        "account": "prod",
        "tier": "sensitive",
        "share": "session",
        "rule": "admin",
        "mode": "peer",
        "factors": ("device",),
        "match": True,
        "deciders": ("bea@example.com",),
        "number": "417",
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_change_has_a_sentence(kind: str) -> None:
    text = notice(change(kind), 0.0)["text"]
    assert "ann@example.com" in text
    assert kind not in text


def test_an_unknown_kind_is_told_all_the_same() -> None:
    assert notice(change("moon_full"), 0.0)["text"] == "ann@example.com: moon_full"


def test_a_notice_names_who_and_why_escaped() -> None:
    told = notice(change("grant_revoked", by="bea@example.com", reason="\x1b[31m\u202enow"), 0.0)
    assert told["text"].endswith("by bea@example.com: \\u{1b}[31m\\u{202e}now")
    assert told["hint"] == "borrow not-me g-01jv0000000000000000000000"


def test_half_a_yes_says_what_is_missing_and_how_to_go_on() -> None:
    details = {"given": ["passkey"], "missing": ["device"], "by": "ann@example.com"}
    told = notice(change("request_half", "request:r-01jv0000000000000000000000", **details), 0.0)
    assert told["text"] == (
        "half a yes to prod-admin: ann@example.com said yes with a passkey; "
        "their workstation's yes is missing"
    )
    assert "borrow not-me" not in told["hint"]


def test_a_reason_cannot_reach_into_the_sentence() -> None:
    told = notice(change("request_denied", reason="{role} {0.__class__}"), 0.0)
    assert told["text"].endswith(": {role} {0.__class__}")


def test_those_who_are_asked_read_inert_text_without_the_digits() -> None:
    (letter,) = asked_letters(view(), devices=["d-2"], webhooks=(), now=5.0)
    assert "417" not in str(letter.details)
    assert "\x1b" not in letter.details["text"]
    assert "for 30m" in letter.details["text"]


def test_each_device_is_told_once_and_the_asking_one_that_it_is_over() -> None:
    letters = letters_for(
        change("grant_revoked"),
        owners=["d-1", "d-2"],
        admins=["d-2", "d-9"],
        webhooks=["https://hook.example.com/x"],
        now=7.0,
    )
    assert [(each.audience, each.kind) for each in letters] == [
        ("d-1", SESSION_REVOKED),
        ("d-1", NOTICE),
        ("d-2", NOTICE),
        ("d-9", NOTICE),
        ("https://hook.example.com/x", NOTICE),
    ]


def test_administrators_are_left_alone_by_everyday_changes() -> None:
    letters = letters_for(
        change("grant_opened"), owners=["d-1"], admins=["d-9"], webhooks=(), now=7.0
    )
    assert [each.audience for each in letters] == ["d-1"]
