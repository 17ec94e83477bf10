"""What people see of a request, and what their yes, no and *not me* do."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from borrow.approver import tickets
from borrow.approver.desk import DESK
from borrow.protocol.strict import b64url, from_b64url
from borrow_fakes.authenticator import BE, BS, UP
from borrow_fakes.front_desk import ANN, BEA
from borrow_fakes.team_policy import PHONE

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Client, FrontDesk
    from borrow_fakes.visits import Visitor

HOSTILE = (
    "</q><script src=//evil.example></script><img src=x onerror=alert(1)>'\"\x1b[2J\u202egpj\nX: y"
)
TAGS = re.compile(r"<(script|img|iframe|b|svg|style)[^>]*>", re.I)


async def asked(ann: Client, role: str = "prod-admin", **changes: object) -> str:
    more = PHONE | changes if role == "dev-phone" else changes
    return str((await ann.ask(role, **more)).ok()["borrow_request"])


async def test_a_yes_by_passkey_lets_the_asker_collect(ann: Client, bea: Visitor) -> None:
    answer = (await ann.ask("prod-admin")).ok()
    page = await bea.approve(answer["borrow_request"])
    assert page.json == {"state": "approved"}
    assert (await ann.poll(answer["auth_req_id"])).ok()["grant_id"]
    after = await bea.get(f"/r/{answer['borrow_request']}")
    assert "Approved by you, and collected." in after.text


async def test_a_yes_for_less_gives_less(ann: Client, bea: Visitor) -> None:
    answer = (await ann.ask("prod-admin", seconds=1800)).ok()
    request = answer["borrow_request"]
    assert '<option value="900">15 minutes</option>' in (await bea.get(f"/r/{request}")).text
    told = (await bea.statement(request, seconds=900)).json
    body = {
        "statement": told["statement"],
        "assertion": bea.key.get(from_b64url(told["challenge"])),
    }
    assert (await bea.post(f"/r/{request}/approve", body)).status == 200
    assert (await ann.poll(answer["auth_req_id"])).ok()["expires_in"] == 900


async def test_a_yes_for_more_is_not_to_be_had(ann: Client, bea: Visitor) -> None:
    page = await bea.statement(await asked(ann, seconds=1800), seconds=7200)
    assert (page.status, page.state) == (403, "too_long")


async def test_a_no_needs_no_passkey_and_its_reason_is_told(ann: Client, bea: Visitor) -> None:
    answer = (await ann.ask("prod-admin")).ok()
    request = answer["borrow_request"]
    page = await bea.deny(request, "not today\u202e")
    assert page.to == f"/r/{request}"
    polled = await ann.poll(answer["auth_req_id"])
    assert polled.error == "access_denied"
    shown = (await bea.get(page.to)).text
    assert "Denied by you." in shown
    assert "not today\\u{202e}" in shown


async def test_without_a_passkey_no_yes_is_taken(ann: Client, bea: Visitor) -> None:
    request = await asked(ann)
    told = (await bea.statement(request)).json
    for assertion in ("", "{}", "null"):
        body = {"statement": told["statement"], "assertion": assertion}
        page = await bea.post(f"/r/{request}/approve", body)
        assert page.status in (400, 401)
    form = await bea.form(f"/r/{request}/decide", decision="approve", reason="")
    assert form.status == 400
    assert (await bea.get(f"/r/{request}/state")).json["state"] == "pending"


@pytest.mark.parametrize(
    ("lies", "state"),
    [
        ({"origin": "http://localhost:1"}, "passkey_origin"),
        ({"origin": "https://localhost"}, "passkey_origin"),
        ({"crossOrigin": True}, "passkey_cross_origin"),
        ({"topOrigin": "https://evil.example.com"}, "passkey_cross_origin"),
        ({"flags": UP | BE | BS}, "passkey_user_verification"),
        ({"counter": 3}, "passkey_counter"),
        ({"type": "webauthn.create"}, "passkey_type"),
        ({"challenge": b"x" * 32}, "passkey_challenge"),
        ({"rp_id": "evil.example.com"}, "passkey_rp"),
        ({"signature": b"0" * 64}, "passkey_signature"),
    ],
    ids=["port", "scheme", "crossed", "framed", "finger", "counter", "type", "bytes", "rp", "sig"],
)
async def test_a60_a_passkeys_answer_that_lies_is_refused_with_its_reason(
    ann: Client, bea: Visitor, lies: dict[str, Any], state: str
) -> None:
    request = await asked(ann)
    bea.key.counter = 5
    assert (await bea.sign_in()).status == 200  # the counter is at 6 now
    page = await bea.approve(request, **lies)
    assert (page.status, page.state) == (401, state)
    assert (await bea.get(f"/r/{request}/state")).json["state"] == "pending"
    token, bea.token = bea.token, ""
    page = await bea.sign_in(**lies)
    assert (page.status, page.state) == (401, state)
    assert not bea.token
    bea.token = token


async def test_a_signed_answer_that_no_record_could_hold_is_refused(
    ann: Client, bea: Visitor
) -> None:
    """Its owner's own software may sign any amount; what M then signs has to fit into a token."""
    request = await asked(ann)
    page = await bea.approve(request, extension=b"x" * 9_500)
    assert (page.status, page.state) == (400, "passkey_malformed")
    assert (await bea.approve(request)).status == 200


async def test_a56_a_yes_over_changed_bytes_is_refused(ann: Client, bea: Visitor) -> None:
    request = await asked(ann, seconds=1800)
    told = (await bea.statement(request, seconds=900)).json
    assertion = bea.key.get(from_b64url(told["challenge"]))
    data = from_b64url(told["statement"]).replace(b'"duration": 900', b'"duration": 1800')
    assert data != from_b64url(told["statement"])
    body = {"statement": b64url(data), "assertion": assertion}
    assert (await bea.post(f"/r/{request}/approve", body)).status >= 400
    # And signed as changed: those bytes were never given out.
    body["assertion"] = bea.key.get(hashlib.sha256(data).digest())
    assert (await bea.post(f"/r/{request}/approve", body)).status >= 400
    assert (await bea.get(f"/r/{request}/state")).json["state"] == "pending"


async def test_a56_a_yes_for_one_request_is_none_for_another(
    desk: FrontDesk, ann: Client, bea: Visitor
) -> None:
    cats = await desk.join("cat@example.com")
    one, two = await asked(ann), await asked(cats)
    told = (await bea.statement(one)).json
    body = {
        "statement": told["statement"],
        "assertion": bea.key.get(from_b64url(told["challenge"])),
    }
    assert (await bea.post(f"/r/{two}/approve", body)).state == "altered"
    assert (await bea.post(f"/r/{one}/approve", body)).status == 200
    assert (await bea.post(f"/r/{one}/approve", body)).status == 409


async def test_signing_in_is_no_yes(ann: Client, bea: Visitor) -> None:
    request = await asked(ann)
    told = (await bea.statement(request)).json
    signin = (await bea.post("/signin/begin", {})).json
    body = {
        "statement": told["statement"],
        "assertion": bea.key.get(from_b64url(signin["challenge"])),
    }
    page = await bea.post(f"/r/{request}/approve", body)
    assert (page.status, page.state) == (401, "passkey_challenge")


async def test_a63_ones_own_request_needs_another_persons_yes(ann: Client, own: Visitor) -> None:
    request = await asked(ann)
    assert (await own.statement(request)).state == "self_approval"
    assert "Approve with a passkey" not in (await own.get(f"/r/{request}")).text


async def test_in_mode_self_no_page_knows_the_number(ann: Client, own: Visitor) -> None:
    request = await asked(ann, "dev-phone", number="417")
    for path in ("/", f"/r/{request}", "/pending", f"/r/{request}/state", "/mine"):
        text = (await own.get(path)).text
        assert not re.search(r"\b417\b", text), path
    assert "<input" in (await own.get(f"/r/{request}")).text
    told = (await own.statement(request, number="416")).json
    assert "417" not in from_b64url(told["statement"]).decode()


async def test_between_two_people_both_see_the_number(ann: Client, bea: Visitor) -> None:
    request = await asked(ann, number="417")
    assert ">417<" in (await bea.get(f"/r/{request}")).text


async def test_the_right_number_and_a_passkey_are_a_yes(ann: Client, own: Visitor) -> None:
    answer = (await ann.ask("dev-phone", number="417", **PHONE)).ok()
    assert (await own.approve(answer["borrow_request"], number="417")).json["state"] == "approved"
    assert (await ann.poll(answer["auth_req_id"])).ok()["grant_id"]


async def test_a57_three_wrong_numbers_end_the_request_and_tell(ann: Client, own: Visitor) -> None:
    request = await asked(ann, "dev-phone", number="417")
    before = await ann.events()
    for number, hint in (("000", "2 tries left"), ("001", "1 tries left"), ("002", "cancelled")):
        page = await own.approve(request, number=number)
        assert (page.status, page.state) == (409, "number_mismatch")
        assert hint in page.json["borrow_hint"]
    late = await own.statement(request, number="417")
    assert (late.status, late.state) == (409, "wrong_state")
    told = await ann.events(*before, wait=True)
    assert "was cancelled" in str(list(told.values()))
    assert "the number was wrong 3 times" in (await own.get(f"/r/{request}")).text


async def test_a51_a_prefetched_page_is_seen_by_nobody(
    desk: FrontDesk, ann: Client, bea: Visitor
) -> None:
    request = await asked(ann)
    before = desk.minter.check_log().size
    for headers in ({"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}):
        assert (await bea.get(f"/r/{request}", **headers)).status == 200
    async with desk.app[DESK].store.reading() as db:
        assert not (await tickets.eyes(db, request, now=desk.clock())).seen
    assert (await bea.get(f"/r/{request}")).status == 200
    async with desk.app[DESK].store.reading() as db:
        assert (await tickets.eyes(db, request, now=desk.clock())).seen == (BEA,)
    assert desk.minter.check_log().size == before
    assert (await bea.get(f"/r/{request}/state")).json["state"] == "pending"


@pytest.mark.parametrize(
    "path", ["/r/{id}/decide", "/r/{id}/approve", "/r/{id}/statement", "/mine/report", "/signout"]
)
async def test_a51_what_changes_anything_cannot_be_got(
    ann: Client, bea: Visitor, path: str
) -> None:
    request = await asked(ann)
    page = await bea.get(path.replace("{id}", request) + "?decision=deny")
    assert page.status in (404, 405)
    assert (await bea.get(f"/r/{request}/state")).json["state"] == "pending"


async def test_a49_hostile_text_is_inert_and_visible_on_every_page(
    desk: FrontDesk, bea: Visitor, own: Visitor, cat: Visitor
) -> None:
    process = dict.fromkeys(("exe", "argv", "cwd", "git_branch", "container"), HOSTILE)
    context = {
        "via": "container",
        "group": "g",
        "host": HOSTILE,
        "os_user": HOSTILE,
        "agent": HOSTILE[:60],
        "process": process | {"parents": [HOSTILE, {"name": HOSTILE}]},
        "where": {"branch": HOSTILE, "repo": HOSTILE, HOSTILE: HOSTILE},
    }
    ann = await desk.join(ANN, HOSTILE[:250])
    await ann.borrow("dev-read")
    request = await asked(ann, reason=HOSTILE, context=context)
    pages = [await who.get(path) for who in (bea, own, cat) for path in ("/", f"/r/{request}")]
    await bea.deny(request, HOSTILE)
    pages += [await bea.get(f"/r/{request}"), await own.get("/mine"), await own.get("/keys")]
    pages += [await cat.get("/people")]
    for page in pages:
        assert page.status == 200
        assert "evil.example" not in "".join(m.group(0) for m in TAGS.finditer(page.text))
        assert "onerror=alert(1)>" not in page.text
        assert not {"\x1b", "\u202e"} & set(page.text)
    assert any("\\u{1b}[2J\\u{202e}gpj\\u{a}X: y" in page.text for page in pages)


async def test_writing_from_the_right_reorders_nothing_of_ours(
    desk: FrontDesk, own: Visitor
) -> None:
    """It is nothing to forbid, and held together as Unicode's UAX #9 says."""
    ann = await desk.join(ANN, "\u05e9\u05dc\u05d5\u05dd 1")
    await asked(ann, "dev-phone", reason="\u0645\u0631\u062d\u0628\u0627 prod")
    text = (await own.get("/keys")).text + (await own.get("/")).text
    assert "\u2068\u05e9\u05dc\u05d5\u05dd 1\u2069" in text
    assert "\u2068\u0645\u0631\u062d\u0628\u0627 prod\u2069" in text
    assert text.count("\u2068") == text.count("\u2069")


async def test_what_the_device_claims_stands_in_its_own_block(ann: Client, bea: Visitor) -> None:
    context = {"via": "container", "host": "claimed-host", "process": {"exe": "/usr/bin/claimed"}}
    request = await asked(ann, reason="claimed reason", context=context)
    text = (await bea.get(f"/r/{request}")).text
    facts, _, rest = text.partition("What the asking device claims")
    assert "claimed" not in facts.partition("What a yes gives")[2]
    for claim in ("claimed-host", "/usr/bin/claimed", "claimed reason"):
        assert claim in rest
    assert "arn:aws:iam::444455556666:role/Admin" in facts
    assert "sensitive" in facts


async def test_a53_a_request_that_was_denied_before_says_so(
    ann: Client, bea: Visitor, clock: Clock
) -> None:
    await bea.deny(await asked(ann))
    clock.advance(1)
    again = await asked(ann, reason="please, it is urgent now")
    text = (await bea.get(f"/r/{again}")).text
    assert "Denied 1 time before" in text
    assert "Denied by you." in text.partition("Last time")[2]


async def test_a52_asking_on_and_on_leaves_one_request_in_the_inbox(
    ann: Client, bea: Visitor
) -> None:
    for _ in range(20):
        await ann.ask("prod-admin")
    assert (await bea.get("/")).text.count('<li class="card entry">') == 1


async def test_a65_an_answer_that_comes_too_late_says_how_it_stands(
    ann: Client, bea: Visitor, clock: Clock
) -> None:
    request = await asked(ann)
    assert (await bea.approve(request)).status == 200
    page = await bea.deny(request)
    assert page.status == 409
    assert "Your answer came too late. Approved by you" in page.text
    other = await asked(ann, "dev-phone")
    clock.advance(86_400)
    late = await bea.get(f"/r/{other}")
    assert late.status == 404  # not hers
    assert (await bea.get(f"/r/{request}")).status == 200


async def test_a_request_of_others_is_not_there(ann: Client, bea: Visitor) -> None:
    request = await asked(ann, "dev-phone")
    for path in (f"/r/{request}", f"/r/{request}/state", "/r/r-01jv0000000000000000000000"):
        assert (await bea.get(path)).status == 404
    assert (await bea.deny(request)).status == 404
    assert (await bea.statement(request)).status == 404


async def test_that_was_not_me_ends_all_and_freezes_and_the_page_stays_open(
    ann: Client, own: Visitor
) -> None:
    grant = (await ann.borrow("dev-read"))["grant_id"]
    assert "dev-read" in (await own.get("/mine")).text
    page = await own.form("/mine/report", subject=grant)
    assert page.to == "/mine?reported=1"
    text = (await own.get(page.to)).text
    assert "Reported." in text
    assert "You hold nothing now." in text
    assert (await ann.ask("dev-read")).status in (401, 403)
    assert "frozen" in (await own.get("/keys")).text


async def test_a_report_of_anything_else_is_refused(ann: Client, bea: Visitor) -> None:
    grant = (await ann.borrow("dev-read"))["grant_id"]
    for subject in (grant, "g-01jv0000000000000000000000", "d-01jv0000000000000000000000", "x"):
        assert (await bea.form("/mine/report", subject=subject)).status in (403, 404)
    assert (await ann.ask("dev-read")).status == 200


async def test_reporting_a_pending_request_denies_it(ann: Client, own: Visitor) -> None:
    answer = (await ann.ask("prod-admin")).ok()
    page = await own.form(f"/r/{answer['borrow_request']}/decide", decision="report", reason="")
    assert page.to == "/mine?reported=1"
    assert (await own.get(f"/r/{answer['borrow_request']}/state")).json["state"] == "denied"


async def test_history_shows_how_each_request_ended(
    ann: Client, own: Visitor, bea: Visitor
) -> None:
    await bea.deny(await asked(ann), "no")
    await ann.borrow("dev-read")
    text = (await own.get("/mine")).text
    assert f"Denied by {BEA}." in text
    assert "Approved by the rule reads, and collected." in text


async def test_the_inbox_lists_what_i_answer_first(ann: Client, bea: Visitor, own: Visitor) -> None:
    request = await asked(ann)
    assert request in (await bea.get("/")).text
    text = (await own.get("/")).text
    assert "Nothing waits for you." in text
    assert request in text.partition("Waiting for others")[2]
