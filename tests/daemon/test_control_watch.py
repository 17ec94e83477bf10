"""What follows the daemon's state hears of each change, and keeps the events poll open."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from borrow.daemon.groups import Group
from borrow_fakes.workstation import Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Watch:
    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                told: dict[str, Any] = json.loads(await self._reader.readline())
                if wanted(told):
                    return told


@contextlib.asynccontextmanager
async def watching(machine: Workstation) -> AsyncIterator[Watch]:
    async with machine.control_stream("GET", "/v1/watch") as reader:
        await reader.readuntil(b"\r\n\r\n")
        yield Watch(reader)


async def test_a_watcher_hears_of_a_question_and_of_its_grant() -> None:
    async with workstation() as machine, watching(machine) as watch:
        first = await watch.until(lambda told: True)
        assert (first["asks"], first["grants"]) == ([], [])
        await machine.ask({"role": "prod-logs", "wait": False})
        told = await watch.until(lambda told: bool(told["asks"] and told["asks"][0]["request"]))
        assert told["asks"][0]["number"] == machine.fake.last.request.number
        await machine.fake.approve()
        told = await watch.until(lambda told: bool(told["grants"]))
        assert told["grants"][0]["role"] == "prod-logs"
        await machine.control("POST", "/v1/return", {"grant": told["grants"][0]["grant"]})
        await watch.until(lambda told: not told["grants"])


async def test_an_idle_machine_that_is_watched_hears_what_was_asked() -> None:
    async with workstation() as machine, watching(machine) as watch:
        await watch.until(lambda told: told["contact_age"] is not None)
        await machine.fake.notice("bo asks", "prod-logs")
        told = await watch.until(lambda told: bool(told["notices"]))
        assert told["notices"][-1]["text"] == "bo asks"


async def test_an_approver_out_of_reach_is_told_and_its_return_too() -> None:
    async with workstation() as machine, watching(machine) as watch:
        await watch.until(lambda told: told["contact_age"] is not None)
        machine.fake.event_poll = 0.1
        machine.fake.down = True
        await machine.fake.notice("wakes the poll", "prod-logs")
        told = await watch.until(lambda told: told["trouble"] is not None)
        assert told["trouble"]["state"]
        machine.fake.down = False
        await watch.until(lambda told: told["trouble"] is None)


async def test_an_extension_by_grant_stays_with_the_session_that_holds_it() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch("prod-admin", bearer)
        (held,) = (await machine.control("GET", "/v1/status"))["grants"]
        body = {"role": "prod-admin", "grant": held["grant"], "seconds": 60}
        await anext(machine.events("/v1/extend", body))
        asked = machine.fake.last.request
        assert asked.extends == held["grant"]
        assert asked.context["group"] == held["group"]
        wrong = await machine.control("POST", "/v1/extend", body | {"grant": "g-nothing"})
        assert wrong["status"] == 409


def test_a_groups_name_reads_back() -> None:
    for group in (Group("a", 12, 34), Group("a", 12, 34, agent="claude"), Group("a")):
        assert Group.named("a", group.id) == group
    assert Group.named("a", "a:x:1") == Group("a")
