"""What a client may do over time: an assertion once, and only listen once it is frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from borrow_fakes.front_desk import Client, FrontDesk


async def test_an_assertion_counts_once_over_a_restart(desk: FrontDesk, ann: Client) -> None:
    sent = ann.auth() | {"grant_type": "client_credentials", "scope": "catalogue"}
    assert (await ann.send("POST", "/token", data=sent)).status == 200
    await desk.close()
    await desk.open()
    desk.reconnect(ann)
    assert (await ann.send("POST", "/token", data=sent)).error == "invalid_client"


async def test_a_frozen_device_may_listen_and_nothing_else(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    every = await ann.bearer("catalogue decide events manage audit")
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    assert (await desk.admin("POST", "/admin/freeze", order)).status == 200
    for path in ("/catalogue", "/decisions", "/grants", "/log/entries"):
        assert (await ann.send("GET", path, headers=every)).state == "frozen"
    assert (await ann.ask("dev-read")).state == "frozen"
    assert (await ann.exchange(granted["access_token"], "dev-read")).state == "frozen"
    fresh = await ann.form("/token", grant_type="client_credentials", scope="catalogue")
    assert (fresh.status, fresh.error) == (400, "unauthorized_client")
    poll = {"returnImmediately": True}
    assert (await ann.send("POST", "/events", headers=every, json=poll)).status == 200
    narrowed = await ann.form("/token", grant_type="client_credentials", scope="events decide")
    assert narrowed.ok()["scope"] == "events"


async def test_tokens_from_before_a_freeze_stay_dead_after_it(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    old = await ann.bearer("catalogue")
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    await desk.admin("POST", "/admin/freeze", order)
    assert (await desk.admin("POST", "/admin/unfreeze", order)).status == 200
    assert (await ann.send("GET", "/catalogue", headers=old)).state == "invalid_token"
    assert (await ann.exchange(granted["access_token"], "dev-read")).error == "invalid_grant"
    ann.tokens.clear()
    assert (await ann.get("/catalogue")).status == 200
