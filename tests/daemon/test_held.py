"""What is held, also right after the daemon was started again."""

from __future__ import annotations

from borrow_fakes.workstation import Workstation, workstation


async def held(machine: Workstation) -> tuple[list[str], bool]:
    """The roles, those marked that outlived a daemon, and whether that is all."""
    told = await machine.control("GET", "/v1/held")
    names = [f"{g['role']}{'+' if g.get('resumes') else ''}" for g in told["grants"]]
    return names, told["whole"]


async def test_a_grant_that_outlived_the_daemon_is_held_and_resumed_by_its_next_call() -> None:
    async with workstation() as machine:
        bearer = await machine.granted()
        assert await held(machine) == (["prod-admin"], True)
        await machine.end()
        await machine.start()
        assert await held(machine) == (["prod-admin+"], True)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert await held(machine) == (["prod-admin"], True)
        assert len(machine.fake.asked) == 1


async def test_what_was_given_back_is_not_held_although_the_approver_was_not_told_yet() -> None:
    async with workstation() as machine:
        await machine.granted()
        machine.fake.down = True
        await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        machine.fake.down = False
        assert (await held(machine))[0] == []


async def test_without_the_approver_the_answer_says_that_it_is_not_whole() -> None:
    async with workstation() as machine:
        await machine.granted()
        await machine.end()
        machine.fake.down = True
        await machine.start()
        assert await held(machine) == ([], False)


async def test_another_devices_grants_are_neither_held_here_nor_given_back() -> None:
    async with workstation() as machine:
        await machine.granted()
        await machine.end()
        machine.fake.this_device = False
        await machine.start()
        assert await held(machine) == ([], True)
        told = await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        assert told["status"] == 409
        assert machine.fake.calls["/revoke"] == 0


async def test_who_never_enrolled_holds_nothing() -> None:
    async with workstation(enrolled=False) as machine:
        assert await held(machine) == ([], True)
