"""The line in the caller's terminal while its call is held."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from borrow.daemon.catalogue import read_role_facts
from borrow.daemon.flights import Asked, Flight, FlightState
from borrow.daemon.groups import NAME as BEARERS
from borrow.daemon.groups import Bearers, Group
from borrow.daemon.moments import Deadline, Moment
from borrow.daemon.telling import outcome_line, tell, waiting_line
from borrow.daemon.world import World
from borrow.protocol.errors import Refused
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import workstation

if TYPE_CHECKING:
    from borrow.daemon.caller import Session

NOW = Moment(1_000_000.0, 500.0)


def a_flight(**changes: Any) -> Flight:
    facts = read_role_facts(role_entry("prod-admin"))
    group = Group("prod-admin", 10, 20, "/dev/pts/9")
    flight = Flight(
        group,
        facts,
        Asked(),
        number="417",
        words="babab-dadad",
        since=NOW,
        context={},
    )
    for name, value in changes.items():
        setattr(flight, name, value)
    return flight


def test_the_line_says_who_is_waited_for_and_the_number() -> None:
    flight = a_flight(
        state=FlightState.PENDING,
        request="r-1",
        people=("bea@example.com", "cat@example.com", "di@example.com"),
        ends=Deadline.at(NOW.wall + 899, NOW),
        mode="peer",
    )
    assert waiting_line(flight, NOW) == (
        "borrow: prod-admin waits for bea@example.com, cat@example.com and 1 more"
        " · number 417 · r-1 · 14:59 left"
    )


def test_what_a_rule_needs_comes_with_the_line_to_type() -> None:
    flight = a_flight(state=FlightState.NEEDS, needs={"reason": "at least 10 characters"})
    line = waiting_line(flight, NOW)
    assert line.endswith('borrow ask prod-admin -m "…"')


def test_an_approver_out_of_reach_is_said() -> None:
    flight = a_flight(trouble="the approver cannot be reached")
    assert "cannot be reached, trying again" in waiting_line(flight, NOW)


def test_the_end_is_said_with_its_reason() -> None:
    flight = a_flight(request="r-1")
    flight.refuse(Refused("r-1 was denied: no", hint="ask later"))
    assert (
        outcome_line(flight) == "borrow: prod-admin refused: r-1 was denied: no · r-1 · ask later"
    )


async def test_lines_come_at_the_start_at_a_change_and_at_the_end() -> None:
    lines: list[str] = []

    def say(session: Session, line: str) -> bool:
        assert session.tty == "/dev/pts/9"
        lines.append(line)
        return True

    flight = a_flight(listeners=1)
    task = asyncio.get_running_loop().create_task(
        tell(flight, say, lambda: NOW, at_most_every=0.05)
    )
    await asyncio.sleep(0.08)
    flight.request = "r-1"
    flight.move(FlightState.PENDING)
    await asyncio.sleep(0.1)
    flight.refuse(Refused("no"))
    await asyncio.wait_for(task, 3)
    assert len(lines) == 3
    assert "waits for the approver" in lines[0]
    assert "number 417" in lines[1]
    assert "refused: no" in lines[2]


def test_a_world_reads_real_clocks_by_default() -> None:
    assert World().now().wall > 1_700_000_000


async def test_a_held_sdk_call_is_told_in_its_own_terminal_and_the_asker_is_not() -> None:
    async with workstation() as machine:
        group = Group("prod-admin", os.getsid(0), 0, "/dev/pts/9")
        bearers = Bearers(
            machine.state / BEARERS, clock=lambda: 0.0, keep=True, alive=lambda sid, start: True
        )
        bearer = bearers.issue(group)
        await machine.end()
        machine.world = replace(machine.world, alive=lambda sid, start: True)
        await machine.start()
        await machine.ask({"role": "prod-logs", "wait": False})
        assert machine.lines == []
        fetch = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        asked = await machine.fake.asked_for(2)
        await asyncio.sleep(0.5)
        await machine.fake.approve(asked)
        assert (await fetch).status == 200
        await asyncio.sleep(1.1)
        told = [line for session, line in machine.lines if session.tty == "/dev/pts/9"]
        assert f"number {asked.request.number}" in " ".join(told)
        assert "granted" in told[-1]
