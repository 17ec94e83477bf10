"""Who gets in: sessions, their cookie, their end; and what every answer leaves with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined
from multidict import CIMultiDict

from borrow.approver.desk import DESK
from borrow.approver.pages.guard import CSP
from borrow.approver.pages.room import ROOM
from borrow.approver.pages.routes import routes
from borrow.approver.pages.session import IDLE, LONGEST
from borrow.protocol.strict import from_b64url
from borrow_fakes.authenticator import Authenticator
from borrow_fakes.front_desk import ANN, BEA
from borrow_fakes.team_policy import PHONE
from borrow_fakes.visits import Visitor, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Client, FrontDesk

SIGNED_IN = ("/", "/mine", "/keys", "/people", "/r/r-01jv0000000000000000000000")
POSTS = sorted({route.path for route in routes() if route.method == "POST"})


@pytest.fixture
async def thief(desk: FrontDesk) -> AsyncIterator[Visitor]:
    async with visitor(desk) as one:
        yield one


@pytest.mark.parametrize("path", SIGNED_IN)
async def test_a_stranger_is_sent_to_sign_in(stranger: Visitor, path: str) -> None:
    page = await stranger.get(path)
    assert page.status == 303
    assert page.to == ("/signin" if path == "/" else f"/signin?to={path}")


@pytest.mark.parametrize(
    "path", ["/signin", "/join", "/", "/static/app.css", "/static/none", "/r/x"]
)
async def test_every_answer_has_the_guards_headers(stranger: Visitor, path: str) -> None:
    headers = (await stranger.get(path)).headers
    assert headers["Content-Security-Policy"] == CSP
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "no-store" in headers["Cache-Control"] or path == "/static/app.css"


async def test_the_signed_in_pages_are_kept_by_nobody(own: Visitor) -> None:
    for path in ("/", "/mine", "/keys"):
        page = await own.get(path)
        assert page.status == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Content-Security-Policy"] == CSP


async def test_the_cookie_is_the_browsers_own_and_no_scripts(stranger: Visitor) -> None:
    cookie = (await stranger.join(ANN)).cookie
    assert cookie.startswith("__Host-borrow=")
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://localhost:1", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=["nothing", "origin", "port", "site"],
)
async def test_no_post_is_taken_from_elsewhere(own: Visitor, sent: dict[str, str]) -> None:
    assert len(POSTS) > 12
    for path in POSTS:
        path = path.replace("{id}", "r-01jv0000000000000000000000")
        page = await own.form(path, headers=sent, leave="1")
        assert page.status == 403, path
        assert "another site" in page.text
    assert (await own.get("/")).status == 200  # and nobody was signed out


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site"])
async def test_a_post_that_says_two_places_is_of_neither(
    desk: FrontDesk, own: Visitor, name: str
) -> None:
    """No browser sends two; a header that somebody on the way put in front is no way round."""
    ours = CIMultiDict(own.sent | {"Host": f"localhost:{desk.port}"})
    ours.add(name, "cross-site" if name == "Sec-Fetch-Site" else "https://evil.example.com")
    url = f"{desk.issuer}/signin/begin"
    async with own.session.post(url, headers=ours, json={}) as answer:
        assert answer.status == 403
        assert (await answer.json())["borrow_state"] == "cross_site"


async def test_a_page_that_fails_leaves_with_the_guards_headers(
    desk: FrontDesk, stranger: Visitor
) -> None:
    """Also where the page that would say so fails: a person reads a sentence, and no traceback."""
    broken = DictLoader(dict.fromkeys(("signin.html", "error.html"), "{{ nothing.at.all }}"))
    desk.app[ROOM].renderer._made = Environment(
        loader=broken, undefined=StrictUndefined, autoescape=True
    )
    for path in ("/signin", "/static/none"):
        page = await stranger.get(path)
        assert page.status == 500
        assert page.headers["Content-Security-Policy"] == CSP
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Content-Type"].startswith("text/plain")
        assert page.text.startswith("Something went wrong here.")
    assert (await stranger.post("/signin/begin", {})).status == 200


async def test_who_left_the_policy_is_signed_out(
    desk: FrontDesk, own: Visitor, ann: Client
) -> None:
    """Their session would go on to show what waits, and to deny it, for as long as a month."""
    await ann.ask("dev-phone", **PHONE)
    assert (await own.get("/")).status == 200
    await desk.close()
    desk.policy = desk.policy.replace(f'"{ANN}", ', "").replace(f', "{ANN}"', "")
    await desk.open()
    assert (await own.get("/")).to == "/signin"


async def test_another_name_for_the_loopback_gets_nothing(desk: FrontDesk, own: Visitor) -> None:
    url = f"{desk.issuer}/"
    headers = {"Cookie": f"__Host-borrow={own.token}", "Host": f"evil.example.com:{desk.port}"}
    async with own.session.get(url, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 421
        assert ANN not in await answer.text()


async def test_a_session_that_was_brought_along_is_not_the_one_signed_in_with(
    own: Visitor, thief: Visitor
) -> None:
    """Fixation: the attacker's own cookie in the victim's browser is worth nothing afterwards."""
    await thief.join(BEA)
    planted = thief.token
    own.token = planted
    assert (await own.sign_in()).status == 200
    assert own.token != planted
    assert ANN in (await own.get("/")).text
    thief.token = planted
    assert (await thief.get("/")).status == 303  # it ended as the new one began


async def test_signing_out_ends_the_session_itself(own: Visitor) -> None:
    token = own.token
    page = await own.form("/signout", leave="1")
    assert page.to == "/signin"
    own.token = token
    assert (await own.get("/")).status == 303


async def test_a_session_ends_unused_and_in_any_case(own: Visitor, clock: Clock) -> None:
    clock.advance(IDLE - 60)
    assert (await own.get("/")).status == 200
    clock.advance(IDLE + 1)
    assert (await own.get("/")).status == 303
    await own.sign_in()
    for _ in range(int(LONGEST // (IDLE / 2))):
        clock.advance(IDLE / 2)
        assert (await own.get("/")).status == 200
    clock.advance(LONGEST % (IDLE / 2) + 1)
    assert (await own.get("/")).status == 303


async def test_a_session_ends_with_its_passkey_whoever_removed_it(
    desk: FrontDesk, own: Visitor
) -> None:
    await desk.app[DESK].minter.passkey_remove(own.key.credential_id, ANN)
    assert (await own.get("/keys")).status == 303
    assert (await own.sign_in()).status == 403


async def test_removing_a_passkey_ends_every_session_of_it(own: Visitor, stranger: Visitor) -> None:
    stranger.key = own.key
    assert (await stranger.sign_in()).status == 200
    assert (await stranger.get("/keys")).status == 200
    assert (await own.form("/keys/remove", credential=own.key.credential_id)).to == "/keys"
    assert (await own.get("/keys")).status == 303
    assert (await stranger.get("/keys")).status == 303


async def test_a_passkey_that_nobodys_own_evidence_vouched_for_opens_nothing_yet(
    own: Visitor, stranger: Visitor, clock: Clock
) -> None:
    """Whoever invites Ann a second time may be no friend of hers."""
    page = await stranger.join(ANN)
    assert page.json["waits"] > 3_600
    assert not stranger.token
    assert (await stranger.sign_in()).state == "passkey_waits"
    clock.advance(page.json["waits"] + 1)
    assert (await stranger.sign_in()).status == 200


async def test_nobody_removes_another_persons_passkey(own: Visitor, bea: Visitor) -> None:
    page = await bea.form("/keys/remove", credential=own.key.credential_id)
    assert page.status == 403
    assert (await own.get("/keys")).status == 200


async def test_a_made_up_cookie_opens_nothing(stranger: Visitor) -> None:
    for token in ("x", "A" * 43, "A" * 5_000, "%00"):
        stranger.token = token
        assert (await stranger.get("/")).status == 303


async def test_an_unknown_passkey_signs_nobody_in(stranger: Visitor, own: Visitor) -> None:
    stranger.key = Authenticator("localhost", stranger.desk.origin, user_handle=own.key.user_handle)
    page = await stranger.sign_in()
    assert page.status == 403
    assert not stranger.token


async def test_a_sign_in_counts_once(own: Visitor) -> None:
    asked = (await own.post("/signin/begin", {})).json
    body = {
        "ceremony": asked["ceremony"],
        "assertion": own.key.get(from_b64url(asked["challenge"])),
    }
    assert (await own.post("/signin", body)).status == 200
    assert (await own.post("/signin", body)).state == "replayed"


async def test_strangers_are_slowed_down_and_the_signed_in_are_not(
    stranger: Visitor, own: Visitor
) -> None:
    pages = [await stranger.post("/signin/begin", {}) for _ in range(60)]
    slowed = [page for page in pages if page.status == 429]
    assert slowed
    assert int(slowed[0].headers["Retry-After"]) >= 1
    assert "wait a moment" in slowed[0].json["borrow_hint"]
    assert (await own.get("/")).status == 200


@pytest.mark.parametrize("body", ["", "{", "[]", '{"a": 1}', '{"ceremony": 1, "assertion": ""}'])
async def test_garbage_is_refused_in_one_sentence(stranger: Visitor, body: str) -> None:
    headers = stranger.sent | {"Content-Type": "application/json"}
    page = await stranger._send("POST", "/signin", headers=headers, data=body)
    assert page.status == 400
    assert page.json["error_description"]


async def test_people_is_for_administrators_only(own: Visitor, cat: Visitor, ann: Client) -> None:
    assert (await own.get("/people")).status == 404
    assert "/people" not in (await own.get("/")).text
    assert ANN in (await cat.get("/people")).text
    refused = await own.form("/people/freeze", device=ann.client_id)
    assert refused.status == 404
    assert (await cat.form("/people/freeze", device=ann.client_id)).to == "/people"
    assert (await ann.ask("dev-read")).status in (401, 403)
    assert (await cat.form("/people/unfreeze", device=ann.client_id)).to == "/people"
    assert (await ann.ask("dev-read")).status == 200


async def test_an_administrator_does_not_unfreeze_their_own_device(
    desk: FrontDesk, cat: Visitor
) -> None:
    laptop = await desk.join("cat@example.com")
    assert (await cat.form("/keys/freeze", device=laptop.client_id)).to == "/keys"
    page = await cat.form("/people/unfreeze", device=laptop.client_id)
    assert page.status == 403
    assert "Somebody else" in page.told


async def test_a_device_of_another_person_cannot_be_frozen_as_ones_own(
    bea: Visitor, ann: Client
) -> None:
    assert (await bea.form("/keys/freeze", device=ann.client_id)).status == 404
    assert (await bea.form("/keys/freeze", device="d-nonsense")).status == 404
    assert (await ann.ask("dev-read")).status == 200


async def test_a_signed_out_answer_is_not_given(own: Visitor, ann: Client) -> None:
    asked = (await ann.ask("dev-phone", **PHONE)).ok()["borrow_request"]
    await own.form("/signout", leave="1")
    assert (await own.deny(asked)).to == "/signin"
    assert (await own.statement(asked)).state == "signed_out"
