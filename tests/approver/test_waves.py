"""Whoever is at a desktop is called first, and one who looks holds the calls to the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from borrow.approver.channels.ways import Ways
from borrow.approver.desk import DESK
from borrow.approver.presence import GOOD_FOR, Presences, State, read_presence
from borrow.approver.serve import port_of, start
from borrow.approver.waves import LONGEST, LOOK, WAVE, delays, held_until
from borrow.protocol.errors import Untrusted
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, Client, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STATES: tuple[State | None, ...] = (*get_args(State), None)
people = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(STATES), max_size=8)


def test_who_is_there_is_called_at_once_and_who_is_not_asked_for_last() -> None:
    said: dict[str, State | None] = {"ann": "idle", "bea": "active", "cat": None, "di": "absent"}
    told = delays(said, said.get)
    assert told == {"bea": 0.0, "ann": WAVE, "cat": WAVE, "di": 2 * WAVE}


@given(people)
def test_somebody_is_called_at_once_and_everybody_within_two_waves(
    said: dict[str, State | None],
) -> None:
    told = delays(said, said.get)
    assert told.keys() == said.keys()
    assert not said or min(told.values()) == 0.0
    assert all(0.0 <= wait <= 2 * WAVE for wait in told.values())


@given(people.map(lambda said: dict.fromkeys(said, None)))
def test_where_no_tray_says_anything_all_are_called_at_once(said: dict[str, None]) -> None:
    assert set(delays(said, said.get).values()) <= {0.0}


@given(st.lists(st.floats(0, 10_000), max_size=30))
def test_looking_again_and_again_holds_nobody_past_the_longest(looks: list[float]) -> None:
    for at in looks:
        assert held_until(0.0, at) <= LONGEST
        assert held_until(0.0, at) <= at + LOOK


def test_the_word_of_a_device_ages_out_and_the_one_they_sit_at_counts() -> None:
    clock = Clock()
    known = Presences(clock)
    known.note(ANN, "laptop", "locked")
    known.note(ANN, "desk", "active")
    assert known.of(ANN) == "active"
    known.note(ANN, "desk", None)
    assert known.of(ANN) == "locked"
    clock.advance(GOOD_FOR)
    assert known.of(ANN) is None
    assert known.of(BEA) is None


@pytest.mark.parametrize("word", ["asleep", 1, True, ["active"], {"a": 1}])
def test_another_word_is_a_malformed_poll(word: object) -> None:
    with pytest.raises(Untrusted):
        read_presence(word)


# -- the whole way: the poll says it, the calls follow ---------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def called() -> list[str]:
    """Whose topic got a call that asks, in order."""
    return []


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock, called: list[str]) -> AsyncIterator[FrontDesk]:
    async def take(request: web.Request) -> web.Response:
        if request.headers["Title"] == "Somebody asks for your yes":
            called.append(request.match_info["who"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/{who}", take)
    runner = await start(app)
    url = f"http://127.0.0.1:{port_of(runner)}"
    ways = {person: Ways(ntfy=f"{url}/{person}") for person in (ANN, BEA)}
    front = FrontDesk(tmp_path, clock, channels=ways, push_allow_hosts=("127.0.0.1",))
    await front.open()
    yield front
    await front.close()
    await runner.cleanup()


async def until(called: list[str], *wanted: str) -> None:
    async with asyncio.timeout(10):
        while called != list(wanted):  # noqa: ASYNC110  a server of the test's takes them
            await asyncio.sleep(0.01)


async def test_who_is_at_their_desk_is_called_first_and_the_rest_half_a_minute_later(
    desk: FrontDesk, ann: Client, bea: Client, cat: Client, clock: Clock, called: list[str]
) -> None:
    await bea.events(presence="active")
    await ann.events(presence="idle")
    (await cat.ask()).ok()
    await until(called, BEA)
    await asyncio.sleep(0.3)
    assert called == [BEA]
    clock.advance(WAVE)
    await until(called, BEA, ANN)


async def test_one_who_looks_holds_the_calls_to_the_others_for_a_minute(
    desk: FrontDesk, ann: Client, bea: Client, cat: Client, clock: Clock, called: list[str]
) -> None:
    await bea.events(presence="active")
    asked = (await cat.ask()).ok()["borrow_request"]
    await until(called, BEA)
    clock.advance(WAVE - 5)
    (await bea.get(f"/decisions/{asked}", "decide")).ok()
    told = (await cat.get(f"/requests/{asked}")).ok()
    assert (told["seen"], told["looking"]) == ([BEA], [BEA])
    clock.advance(LOOK - 5)
    await asyncio.sleep(0.3)
    assert called == [BEA]
    (await bea.get(f"/decisions/{asked}", "decide")).ok()  # nobody holds twice
    clock.advance(5)
    await until(called, BEA, ANN)


async def test_what_is_answered_before_its_wave_calls_nobody_else(
    desk: FrontDesk, ann: Client, bea: Client, cat: Client, clock: Clock, called: list[str]
) -> None:
    await bea.events(presence="active")
    asked = (await cat.ask()).ok()["borrow_request"]
    await until(called, BEA)
    (await bea.say(asked, "deny")).ok()
    clock.advance(2 * WAVE)
    await asyncio.sleep(0.3)
    assert called == [BEA]


async def test_presence_is_forgotten_when_a_device_says_nothing_is_frozen_or_is_told_to_nobody(
    desk: FrontDesk, ann: Client, bea: Client, cat: Client
) -> None:
    known = desk.app[DESK].presences
    await bea.events(presence="active")
    assert known.of(BEA) == "active"
    asked = (await cat.ask()).ok()["borrow_request"]
    for told in ((await cat.get(f"/requests/{asked}")).ok(), (await cat.get("/catalogue")).ok()):
        assert "active" not in str(told)
    await bea.events()
    assert known.of(BEA) is None
    await bea.events(presence="active")
    (await desk.admin("POST", "/admin/freeze", {"client_id": bea.client_id, "by": ANN})).ok()
    await bea.events(presence="active")
    assert known.of(BEA) is None
