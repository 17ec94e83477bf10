"""The inbox and what people say there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.protocol.decision import read_statement, sign_statement
from borrow.protocol.events import SESSION_REVOKED
from borrow.protocol.request import open_hashed
from borrow.protocol.strict import b64url
from borrow_fakes.front_desk import BEA, Client, FrontDesk

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock


async def test_a_summary_has_what_a_person_needs_to_decide(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    (summary,) = (await bea.get("/decisions", "decide")).ok()["decisions"]
    wanted = {
        "request": asked["borrow_request"],
        "person": "ann@example.com",
        "role": "prod-admin",
        "account": "prod",
        "tier": "sensitive",
        "rule": "admin",
        "mode": "peer",
        "factors": ["device", "passkey"],
        "match": True,
        "number": asked["borrow_number"],
        "seconds": 1800,
        "justification": "a good reason",
        "state": "pending",
        "mine": False,
        "deciders": ["bea@example.com"],
    }
    assert wanted.items() <= summary.items()
    assert summary["expires_at"] - summary["asked_at"] == 900


async def test_in_mode_self_the_number_shows_on_the_asking_workstation_only(
    desk: FrontDesk, ann: Client
) -> None:
    await ann.enrol_codes()
    phone = await desk.join("ann@example.com")
    asked = (await ann.ask("dev-write")).ok()
    for device in (ann, phone):
        (listed,) = (await device.get("/decisions", "decide")).ok()["decisions"]
        shown = (await device.get(f"/decisions/{asked['borrow_request']}", "decide")).ok()
        assert "number" not in listed
        assert "number" not in shown
        assert asked["borrow_number"] not in str(shown["words"])
        assert listed["mine"]


async def test_the_signed_bytes_come_where_the_number_may_be_known(
    ann: Client, bea: Client
) -> None:
    await ann.enrol_codes()
    own = (await ann.ask("dev-write")).ok()["borrow_request"]
    assert "signed" not in (await ann.get(f"/decisions/{own}", "decide")).ok()
    name = (await ann.ask("prod-admin")).ok()["borrow_request"]
    shown = (await bea.get(f"/decisions/{name}", "decide")).ok()
    read = open_hashed(shown["signed"], shown["request_hash"], issuer=ann.device.issuer)
    assert (read.role.identifier, read.number) == ("prod-admin", shown["number"])


async def test_with_a_request_comes_the_last_one_that_was_decided(
    ann: Client, bea: Client, clock: Clock
) -> None:
    first = (await ann.ask("prod-admin")).ok()["borrow_request"]
    assert (await bea.get(f"/decisions/{first}", "decide")).ok()["last"] is None
    (await bea.say(first, "deny", reason="not today")).ok()
    clock.advance(60)
    deliberate = {"via": "cli", "group": "prod-admin:10:100", "host": "lab"}
    again = (await ann.ask("prod-admin", context=deliberate)).ok()["borrow_request"]
    last = (await bea.get(f"/decisions/{again}", "decide")).ok()["last"]
    assert (last["request"], last["state"]) == (first, "denied")
    assert (last["justification"], last["decided_by"]) == ("a good reason", [BEA])


async def test_a51_reading_changes_nothing_but_seen(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    name = asked["borrow_request"]
    for query in ("", "?decision=approve", "?decision=deny", "?decision=report"):
        for _ in range(2):
            answer = await bea.get(f"/decisions/{name}{query}", "decide")
            assert answer.ok()["state"] == "pending"
    status = (await ann.get(f"/requests/{name}")).ok()
    assert status["state"] == "pending"
    assert (status["seen"], status["looking"]) == ([BEA], [BEA])
    assert (await bea.get("/decisions", "decide")).ok()["decisions"][0]["state"] == "pending"


async def test_looking_ends_and_seen_stays(ann: Client, bea: Client, clock: Clock) -> None:
    name = (await ann.ask("prod-admin")).ok()["borrow_request"]
    assert (await ann.get(f"/requests/{name}")).ok()["seen"] == []
    await bea.get(f"/decisions/{name}", "decide")
    clock.advance(31)
    status = (await ann.get(f"/requests/{name}")).ok()
    assert (status["seen"], status["looking"]) == ([BEA], [])


async def test_a_request_is_not_there_for_those_without_a_part(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    eve = await desk.join("local:eve")
    name = (await ann.ask("prod-admin")).ok()["borrow_request"]
    assert (await eve.get(f"/decisions/{name}", "decide")).status == 404
    assert (await eve.say(name, "deny")).status == 404
    assert (await eve.get("/decisions", "decide")).ok()["decisions"] == []
    assert (await bea.get(f"/requests/{name}")).status == 404  # it is for the asking device


async def test_a56_what_was_altered_after_display_is_refused(ann: Client, bea: Client) -> None:
    first, second = (await ann.ask("prod-admin")).ok(), (await ann.ask("dev-click")).ok()
    data = await bea.statement(first["borrow_request"], number=first["borrow_number"])
    evidence = {"kind": "device", "token": sign_statement(data, bea.device.sig)}
    moved = await ann.say(
        second["borrow_request"], "approve", statement=b64url(data), evidence=evidence
    )
    assert (moved.status, moved.state) == (409, "altered")
    said = read_statement(data)
    hash_ = said.request_hash
    for bad in (
        data.replace(hash_.encode(), hash_[::-1].encode()),
        data.replace(b'"approve"', b'"deny"'),
        data.replace(b"bea@", b"ann@"),
    ):
        altered = {"kind": "device", "token": sign_statement(bad, bea.device.sig)}
        answer = await bea.say(
            first["borrow_request"], "approve", statement=b64url(bad), evidence=altered
        )
        assert (answer.status, answer.state) == (409, "altered")
    longer = data.replace(b"1800", b"9999")  # same request, more than was shown
    altered = {"kind": "device", "token": sign_statement(longer, bea.device.sig)}
    answer = await bea.say(
        first["borrow_request"], "approve", statement=b64url(longer), evidence=altered
    )
    assert answer.status in (400, 403, 409)
    assert (await ann.get(f"/requests/{first['borrow_request']}")).ok()["state"] == "pending"


async def test_a57_the_third_wrong_number_cancels_the_request(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    wrong = f"{(int(asked['borrow_number']) + 1) % 1000:03}"
    for _ in range(3):
        answer = await bea.approve(asked["borrow_request"], number=wrong)
        assert (answer.status, answer.state) == (409, "number_mismatch")
    assert (await waiting).state == "cancelled"
    right = await bea.approve_late(asked["borrow_request"])
    assert (right.status, right.state) == (409, "wrong_state")


async def test_a63_nobody_approves_their_own_request_where_another_must(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    """Nor with a second device, nor in another spelling of their name."""
    asked = (await bea.ask("prod-admin")).ok()
    assert asked["borrow_asked"] == ["ann@example.com"]
    for device in (bea, await desk.join(BEA), await desk.join("BEA@Example.com")):
        query = f"/decisions/{asked['borrow_request']}?decision=approve"
        for answer in (
            await device.get(query, "decide"),
            await device.approve_late(asked["borrow_request"]),
        ):
            assert (answer.status, answer.state) == (403, "self_approval")
    assert (await ann.approve(asked["borrow_request"], number=asked["borrow_number"])).status == 200


async def test_a65_what_is_decided_stays_decided(ann: Client, bea: Client, clock: Clock) -> None:
    approved, number = _of((await ann.ask("prod-admin")).ok())
    data = await bea.statement(approved, number=number)
    evidence = {"kind": "device", "token": sign_statement(data, bea.device.sig)}
    body = {"statement": b64url(data), "evidence": evidence}
    assert (await bea.say(approved, "approve", **body)).status == 200
    for answer in (await bea.say(approved, "deny"), await bea.say(approved, "approve", **body)):
        assert (answer.status, answer.state) == (409, "wrong_state")
    assert (await ann.get(f"/requests/{approved}")).ok()["state"] == "approved"

    late = (await ann.ask("dev-click")).ok()
    clock.advance(late["expires_in"] + 1)
    answer = await ann.approve_late(late["borrow_request"])
    assert (answer.status, answer.state) == (409, "wrong_state")
    status = (await ann.get(f"/requests/{late['borrow_request']}")).ok()
    assert status["state"] == "expired"


async def test_a_click_of_the_requester_is_consent(ann: Client) -> None:
    asked = (await ann.ask("dev-click")).ok()
    assert (await ann.approve(asked["borrow_request"], kind="consent")).ok()["state"] == "approved"
    assert (await ann.poll(asked["auth_req_id"])).status == 200


async def test_a_shorter_time_can_be_granted(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    number = asked["borrow_number"]
    await bea.approve(asked["borrow_request"], number=number, seconds="600")
    granted = (await ann.poll(asked["auth_req_id"])).ok()
    assert granted["expires_in"] == 600


async def test_a_yes_without_evidence_counts_nothing(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    answer = await bea.approve_late(asked["borrow_request"])
    assert answer.status == 400
    assert (await ann.get(f"/requests/{asked['borrow_request']}")).ok()["state"] == "pending"


async def test_not_me_on_a_request_freezes_the_device(desk: FrontDesk, ann: Client) -> None:
    phone = await desk.join("ann@example.com")
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    answer = (await phone.say(asked["borrow_request"], "report")).ok()
    assert (answer["decision"], answer["state"]) == ("report", "denied")
    assert (await waiting).error == "access_denied"
    assert (await ann.ask("dev-read")).state == "frozen"


async def test_not_me_on_a_grant_revokes_it_and_tells_the_device(
    desk: FrontDesk, ann: Client
) -> None:
    phone = await desk.join("ann@example.com")
    granted = await ann.borrow("dev-read")
    for old in await ann.events():
        await ann.events(old)
    answer = (await phone.say(granted["grant_id"], "report")).ok()
    assert answer["state"] == "revoked"
    told = {e.subject for e in (await ann.events()).values() if e.kind == SESSION_REVOKED}
    assert told == {f"grant:{granted['grant_id']}", f"device:{ann.client_id}"}
    assert (await ann.exchange(granted["access_token"], "dev-read")).state == "frozen"


async def test_a_stranger_cannot_report(ann: Client, bea: Client) -> None:
    granted = await ann.borrow("dev-read")
    assert (await bea.say(granted["grant_id"], "report")).status in (403, 404)
    assert (await ann.exchange(granted["access_token"], "dev-read")).status == 200


async def test_a_grant_is_not_decided(ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    assert (await ann.say(granted["grant_id"], "approve")).state == "wrong_state"


async def test_the_usual_wait_is_learnt(ann: Client, bea: Client, clock: Clock) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    assert (await ann.get(f"/requests/{asked['borrow_request']}")).ok()["usual_wait"] is None
    clock.advance(90)
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    assert (await ann.get(f"/requests/{asked['borrow_request']}")).ok()["usual_wait"] == 90
    roles = (await ann.get("/catalogue")).ok()["roles"]
    waits = {role["name"]: role["usual_wait"] for role in roles}
    assert waits["prod-admin"] == 90
    assert waits["dev-read"] is None


def _of(asked: dict[str, str]) -> tuple[str, str]:
    return asked["borrow_request"], asked["borrow_number"]
