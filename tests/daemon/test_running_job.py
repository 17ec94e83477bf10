"""A job that runs over the edges: a grant's end, a silent approver, a night with a closed lid."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.front import Limits
from borrow.protocol.errors import Misconfigured
from borrow_fakes.approver import role_entry
from borrow_fakes.edge import until
from borrow_fakes.workstation import GO, Fetched, Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

HERD = 200


def begun(call: Coroutine[Any, Any, Fetched]) -> asyncio.Task[Fetched]:
    return asyncio.get_running_loop().create_task(call)


async def is_held(fetch: asyncio.Task[Fetched]) -> None:
    await asyncio.sleep(0.6)
    assert not fetch.done()


def ended(machine: Workstation) -> None:
    """The approver's word on what the daemon will find out by its own clocks."""
    for grant in machine.fake.grants.values():
        grant.state = "expired"


def asleep(machine: Workstation, seconds: float) -> None:
    """A suspend: the clocks that count it move, the one that times our waits does not."""
    machine.shift.both(seconds)


# -- held, and released ----------------------------------------------------------------------------


async def test_a_wake_up_past_the_grants_end_holds_the_job_until_somebody_says_yes() -> None:
    async with workstation() as machine:
        bearer = await machine.granted()
        asleep(machine, 8 * 3600)
        ended(machine)
        fetch = begun(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for(2)
        await is_held(fetch)
        await machine.fake.approve()
        assert (await fetch).status == 200


@pytest.mark.parametrize("clock", ["wall", "boot"])
async def test_whichever_clock_saw_the_end_nothing_is_served_after_it(clock: str) -> None:
    """A wall clock set back in the night, or a clock of boot time that somebody jumped over."""
    async with workstation() as machine:
        bearer = await machine.granted()
        setattr(machine.shift, clock, 3601.0)
        ended(machine)
        fetch = begun(machine.fetch("prod-admin", bearer))
        await is_held(fetch)
        fetch.cancel()


@pytest.mark.parametrize("seconds", [61.0, 1800.0])
async def test_a_wake_up_holds_a_sensitive_job_until_the_approver_was_heard(seconds: float) -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="sensitive")
        bearer = await machine.granted()
        machine.fake.down = True  # no network yet after the lid was opened
        asleep(machine, seconds)
        fetch = begun(machine.fetch("prod-admin", bearer))
        await is_held(fetch)
        machine.fake.down = False
        assert (await fetch).status == 200
        assert len(machine.fake.asked) == 1  # nobody was asked again


async def test_what_was_revoked_during_the_sleep_is_not_served_after_the_wake_up() -> None:
    async with workstation() as machine:
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", tier="sensitive")
        bearer = await machine.granted()
        (grant,) = machine.fake.grants.values()
        machine.fake.down = True
        asleep(machine, 600)
        await machine.fake.revoke(grant)
        fetch = begun(machine.fetch("prod-admin", bearer))
        machine.fake.down = False
        await machine.fake.asked_for(2)  # held for a new yes, by nothing that was held before
        await is_held(fetch)
        fetch.cancel()


async def test_a_held_jobs_question_goes_when_the_job_does() -> None:
    async with workstation(grace=0.1) as machine:
        bearer = await machine.granted()
        machine.shift.both(3601)
        ended(machine)
        fetch = begun(machine.fetch("prod-admin", bearer))
        asked = await machine.fake.asked_for(2)
        fetch.cancel()
        await machine.fake.until_cancelled(asked)


async def test_a_held_job_is_released_by_the_extension_that_a_person_asked_for() -> None:
    async with workstation() as machine:
        bearer = await machine.granted()
        machine.shift.both(3601)
        ended(machine)
        fetch = begun(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for(2)
        told = await machine.ask({"role": "prod-admin", "wait": False})  # joins the job's question
        assert told[0]["event"] == "waiting"
        assert len(machine.fake.asked) == 2
        await machine.fake.approve()
        assert (await fetch).status == 200


# -- fetched ahead, once, and not again at once ----------------------------------------------------


async def test_the_next_credential_is_fetched_twenty_minutes_ahead_and_not_earlier() -> None:
    async with workstation() as machine:
        machine.fake.grant_seconds = 7200
        bearer = await machine.granted()
        machine.shift.both(3600 - 1210)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        await asyncio.sleep(0.2)
        assert machine.fake.calls["exchange"] == 1
        machine.shift.both(20)
        assert (await machine.fetch("prod-admin", bearer)).status == 200  # at once, the old one
        await until(lambda: machine.fake.calls["exchange"] == 2)


async def test_a_herd_at_the_moment_of_the_refresh_is_served_and_mints_once() -> None:
    async with workstation(limits=Limits(per_process=2 * HERD)) as machine:
        machine.fake.grant_seconds = 7200
        bearer = await machine.granted()
        machine.shift.both(3600 - 1000)
        answers = await asyncio.gather(
            *(machine.fetch("prod-admin", bearer, within=60) for _ in range(HERD))
        )
        assert {answer.status for answer in answers} == {200}
        await until(lambda: machine.fake.calls["exchange"] >= 2)
        assert machine.fake.calls["exchange"] == 2


async def test_a_herd_at_a_credentials_end_mints_once_and_asks_nobody() -> None:
    async with workstation(limits=Limits(per_process=2 * HERD)) as machine:
        machine.fake.credential_seconds = 900
        bearer = await machine.granted()
        machine.shift.both(901)
        answers = await asyncio.gather(
            *(machine.fetch("prod-admin", bearer, within=60) for _ in range(HERD))
        )
        assert {answer.json["AccessKeyId"] for answer in answers} == {"ASIA" + "2".zfill(16)}
        assert machine.fake.calls["exchange"] == 2
        assert len(machine.fake.asked) == 1


async def test_an_error_is_remembered_for_a_moment_and_then_tried_again() -> None:
    async with workstation() as machine:
        machine.fake.credential_seconds = 900
        bearer = await machine.granted()
        machine.shift.both(901)
        machine.fake.mint_error = Misconfigured("the role's trust policy does not name the minter")
        for _ in range(10):
            answer = await machine.fetch("prod-admin", bearer, GO)
            assert answer.status == 502
        assert machine.fake.calls["exchange"] == 2
        machine.fake.mint_error = None
        machine.shift.both(5)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert machine.fake.calls["exchange"] == 3
