"""An elevation that runs out under a program's hands: it waits, and is not lowered silently."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from borrow.daemon.atwork import IN_USE, REMEMBERED, AtWork
from borrow.daemon.cache import Grant
from borrow.daemon.moments import Deadline, Moment
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import Workstation, workstation

NOW = Moment(1_800_000_000.0, 5_000.0)
ME = "10:20"
GRANT = Grant(
    "g-1", "r-1", "prod", "arn", f"prod:{ME}", "normal", "session", "peer",
    Deadline.at(NOW.wall + 3_600, NOW),
)  # fmt: skip


def later(seconds: float) -> Moment:
    return Moment(NOW.wall + seconds, NOW.boot + seconds)


@pytest.mark.parametrize(
    ("used", "looked", "role"),
    [
        (3_590, 3_599, ""),  # it lives
        (3_590, 3_600, "prod"),
        (3_600 - IN_USE, 3_601, "prod"),
        (3_599 - IN_USE, 3_601, ""),  # at rest when it ended
        (3_590, 3_600 + REMEMBERED, "prod"),
        (3_590, 3_601 + REMEMBERED, ""),  # something new
    ],
)
def test_only_who_was_using_it_when_it_ran_out_is_cut_off(
    used: float, looked: float, role: str
) -> None:
    work = AtWork()
    work.served(ME, GRANT, later(used))
    found = work.cut_off(ME, later(looked))
    assert (found.role if found else "") == role
    assert work.cut_off("11:20", later(looked)) is None


def test_what_somebody_ended_or_let_go_cuts_nobody_off() -> None:
    work = AtWork()
    work.served(ME, GRANT, later(3_590))
    work.ended("g-1", later(3_595))
    assert work.cut_off(ME, later(3_601)) is None
    work.served(ME, replace(GRANT, grant_id="g-2"), later(3_590))
    work.ended("g-2", later(3_601))  # the approver says so too, afterwards
    assert work.cut_off(ME, later(3_601)) == replace(GRANT, grant_id="g-2")
    work.let_go(ME)
    assert work.cut_off(ME, later(3_601)) is None


async def lifted(machine: Workstation) -> str:
    """An elastic role's bearer, whose session was lifted to `prod-admin` and uses it."""
    machine.fake.roles["work"] = role_entry("work", base="dev-read")
    machine.fake.roles["dev-read"] = role_entry("dev-read", mode="auto")
    machine.fake.auto = True
    bearer = await machine.bearer("work")
    await machine.ask({"role": "prod-admin", "wait": True})
    assert (await machine.fetch("work", bearer)).json["RoleArn"].endswith("role/prod-admin")
    machine.fake.auto = False
    return bearer


def run_out(machine: Workstation) -> None:
    for grant in machine.fake.grants.values():
        if grant.asked.request.role.identifier == "prod-admin":
            left = grant.ends - machine.shift.now().wall + 1
            machine.shift.wall += left
            machine.shift.boot += left
            grant.state = "expired"


async def test_a_fetch_after_the_end_waits_and_goes_on_elevated_after_the_yes() -> None:
    async with workstation() as machine:
        machine.fake.grant_seconds = 60
        bearer = await lifted(machine)
        run_out(machine)
        fetch = asyncio.get_running_loop().create_task(machine.fetch("work", bearer))
        asked = await machine.fake.asked_for(2)
        assert asked.request.role.identifier == "prod-admin"
        await machine.fake.approve()
        assert (await fetch).json["RoleArn"].endswith("role/prod-admin")


async def test_after_a_no_it_goes_on_with_the_base() -> None:
    async with workstation() as machine:
        machine.fake.grant_seconds = 60
        bearer = await lifted(machine)
        run_out(machine)
        fetch = asyncio.get_running_loop().create_task(machine.fetch("work", bearer))
        await machine.fake.asked_for(2)
        machine.fake.auto = True
        await machine.fake.deny()
        assert (await fetch).json["RoleArn"].endswith("role/dev-read")
        assert (await machine.fetch("work", bearer)).json["RoleArn"].endswith("role/dev-read")


async def test_what_was_given_back_is_not_missed_at_its_end() -> None:
    async with workstation() as machine:
        machine.fake.grant_seconds = 60
        bearer = await lifted(machine)
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        run_out(machine)
        machine.fake.auto = True
        assert (await machine.fetch("work", bearer)).json["RoleArn"].endswith("role/dev-read")


async def test_the_newest_choice_that_ran_out_is_asked_for_anew_before_an_older_one_is_used() -> (
    None
):
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", base="dev-read")
        machine.fake.auto = True
        await machine.ask({"role": "prod-logs", "wait": True})
        machine.fake.grant_seconds = 60
        bearer = await lifted(machine)
        run_out(machine)
        fetch = asyncio.get_running_loop().create_task(machine.fetch("work", bearer))
        asked = await machine.fake.asked_for(3)
        assert asked.request.role.identifier == "prod-admin"
        machine.fake.auto = True
        await machine.fake.deny()
        assert (await fetch).json["RoleArn"].endswith("role/prod-logs")
