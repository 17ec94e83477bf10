"""One exchange at a time for a grant, with whichever token is its newest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.cache import Cache, Grant, Serve
from borrow.daemon.minting import Minting
from borrow.daemon.moments import Deadline, Moment
from borrow.protocol.credentials import AwsCredentials
from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from borrow.protocol.request import AwsRole

NOW = Moment(1_800_000_000.0, 5000.0)
GRANT = Grant(
    grant_id="g-one",
    request_id="r-one",
    role="prod-logs",
    arn="arn:aws:iam::123456789012:role/Logs",
    group="prod-logs:1:1",
    tier="normal",
    share="device",
    mode="auto",
    ends=Deadline.at(NOW.wall + 3600, NOW),
    token="first",
)


class OneToken:
    """An approver that takes one token. `meanwhile` happens while the first exchange travels."""

    def __init__(self, good: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.good = good
        self.meanwhile = meanwhile
        self.seen: list[str] = []

    async def exchange(self, token: str, grant_id: str, role: AwsRole) -> AwsCredentials:
        assert (grant_id, role.identifier) == (GRANT.grant_id, GRANT.role)
        self.seen.append(token)
        self.meanwhile()
        if token != self.good:
            raise Refused("the grant is over", state="invalid_grant")
        return AwsCredentials("ASIA0000000000000001", "s", "t", int(NOW.wall) + 900)


def minting(approver: OneToken, cache: Cache) -> Minting:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[object, object, None]) -> Callable[[], object]:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        return task.cancel

    return Minting(approver, cache, lambda: NOW, spawn)


async def test_a_token_that_another_session_replaced_meanwhile_is_no_end() -> None:
    """Two terminals ask for one shared role at once: the approver honours the newest token only."""
    cache = Cache()
    cache.open(GRANT, NOW)
    newer = replace(GRANT, token="second")
    approver = OneToken("second", lambda: cache.open(newer, NOW))
    await minting(approver, cache).mint(GRANT)
    assert approver.seen == ["first", "second"]
    assert isinstance(cache.look(GRANT.role, GRANT.group, NOW, NOW), Serve)


async def test_a_token_that_is_refused_and_is_the_newest_is_not_tried_again() -> None:
    cache = Cache()
    cache.open(GRANT, NOW)
    approver = OneToken("another")
    with pytest.raises(Refused):
        await minting(approver, cache).mint(GRANT)
    assert approver.seen == ["first"]


async def test_a_grant_that_ended_meanwhile_is_not_minted_from() -> None:
    cache = Cache()
    cache.open(GRANT, NOW)
    approver = OneToken("second", lambda: cache.end(GRANT.grant_id, NOW))
    with pytest.raises(Refused):
        await minting(approver, cache).mint(GRANT)
    assert approver.seen == ["first"]


def test_what_is_forgotten_is_a_change_that_ends_kept_answers() -> None:
    cache = Cache()
    cache.open(GRANT, NOW)
    before = cache.epoch
    cache.forget(GRANT.grant_id)
    assert cache.epoch > before
