"""The line in the caller's terminal while its call is held."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from borrow.daemon.cache import Grant
from borrow.daemon.catalogue import read_role_facts
from borrow.daemon.events import Notice
from borrow.daemon.flights import Asked, Flight, FlightState
from borrow.daemon.groups import NAME as BEARERS
from borrow.daemon.groups import Bearers, Group
from borrow.daemon.moments import Deadline, Moment
from borrow.daemon.telling import Teller, outcome_line, waiting_line
from borrow.daemon.terminal import Drawn, Live
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
        " · number 417 · 14:59 left · r-1"
    )


def test_half_a_yes_says_what_is_missing_of_it() -> None:
    half = {"person": "bea@example.com", "given": ["passkey"], "missing": ["device"]}
    flight = a_flight(
        state=FlightState.PENDING,
        request="r-1",
        people=("bea@example.com",),
        ends=Deadline.at(NOW.wall + 899, NOW),
        mode="peer",
        seen={"halves": [half], "seen": ["bea@example.com"]},
    )
    assert waiting_line(flight, NOW) == (
        "borrow: prod-admin waits · bea@example.com said yes with a passkey; their workstation's"
        " yes is missing · number 417 · 14:59 left · r-1 · seen by 1"
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
    assert outcome_line(flight, NOW) == "borrow: prod-admin refused: r-1 was denied: no · ask later"


class Screen:
    """What a terminal was told: `+` a whole line, `=` a redrawn one, `^` after ending the old."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.bells = 0
        self.answer = Drawn.YES

    def say(
        self, session: Session, line: str, *, after_live: bool = False, bell: bool = False
    ) -> bool:
        assert session.tty == "/dev/pts/9"
        self.told.append(("^" if after_live else "+") + line)
        self.bells += bell
        return True

    def draw(self, session: Session, line: Live, *, after_live: bool = False) -> Drawn:
        assert session.tty == "/dev/pts/9"
        if self.answer is Drawn.YES:
            self.told.append(("^" if after_live else "=") + line.whole())
        return self.answer


class Clock:
    """Runs a thousand times as fast as the test."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def now(self) -> Moment:
        gone = (time.monotonic() - self.began) * 1000
        return Moment(NOW.wall + gone, NOW.boot + gone)


def follow(
    screen: Screen, flight: Flight, quiet: float = 0.05
) -> tuple[Teller, asyncio.Task[None]]:
    teller = Teller(screen.say, screen.draw, Clock().now, quiet=quiet, tick=0.02)
    return teller, asyncio.get_running_loop().create_task(teller.follow(flight))


def a_grant(flight: Flight) -> Grant:
    return Grant(
        grant_id="g-1",
        request_id=flight.request,
        role="prod-admin",
        arn="arn:aws:iam::111122223333:role/prod-admin",
        group=flight.group.id,
        tier="normal",
        share="session",
        mode="self",
        ends=Deadline.at(NOW.wall + 7200, NOW),
        token="t",
    )


def pending(**changes: Any) -> Flight:
    members = {
        "state": FlightState.PENDING,
        "request": "r-1",
        "mode": "self",
        "ends": Deadline.at(NOW.wall + 899, NOW),
        "listeners": 1,
    }
    return a_flight(**(members | changes))


async def test_a_call_that_is_answered_soon_is_told_its_grant_alone() -> None:
    screen, flight = Screen(), a_flight(listeners=1)
    _, task = follow(screen, flight, quiet=0.5)
    await asyncio.sleep(0.02)
    flight.request = "r-1"
    flight.move(FlightState.PENDING)
    await asyncio.sleep(0.02)
    flight.grant_it(a_grant(flight))
    await asyncio.wait_for(task, 3)
    (line,) = screen.told
    assert re.fullmatch(r"\+borrow: prod-admin granted for \w+ · not you\? borrow not-me g-1", line)
    assert screen.bells == 0


async def test_a_grant_by_policy_says_so() -> None:
    screen, flight = Screen(), a_flight(listeners=1, mode="auto")
    _, task = follow(screen, flight, quiet=0.5)
    await asyncio.sleep(0.02)
    flight.grant_it(a_grant(flight))
    await asyncio.wait_for(task, 3)
    assert "granted by policy for" in screen.told[0]


async def test_a_no_that_comes_at_once_is_the_clients_own_to_tell() -> None:
    screen, flight = Screen(), a_flight(listeners=1)
    _, task = follow(screen, flight, quiet=0.5)
    await asyncio.sleep(0.02)
    flight.refuse(Refused("no rule allows it"))
    await asyncio.wait_for(task, 3)
    assert screen.told == []


async def test_the_line_counts_down_in_place_and_the_yes_comes_below_it_at_once() -> None:
    screen, flight = Screen(), pending()
    _, task = follow(screen, flight)
    await asyncio.sleep(0.2)
    flight.grant_it(a_grant(flight))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert task.done()
    *drawn, last = screen.told
    assert len(drawn) >= 3
    assert len(set(drawn)) == len(drawn)
    assert all(re.fullmatch(LINE, line) for line in drawn)
    assert re.fullmatch(r"\^borrow: prod-admin granted for \w+ · not you\? borrow not-me g-1", last)
    assert screen.bells == 1


LINE = r"=borrow: prod-admin waits for you · number 417 · 1\d:\d\d left · r-1 · answer on .*"


async def test_a_change_ends_the_line_and_starts_another() -> None:
    screen, flight = Screen(), pending(ends=None)
    _, task = follow(screen, flight)
    await asyncio.sleep(0.1)
    flight.mode = "peer"
    flight.seen = {"seen": ["a", "b"], "looking": ["bea@example.com"], "usual_wait": 38}
    flight.touch()
    await asyncio.sleep(0.05)
    flight.refuse(Refused("r-1 was denied: no"))
    await asyncio.wait_for(task, 3)
    first, second, last = screen.told
    assert first.startswith("=")
    assert second.startswith("^")
    assert "seen by 2 · bea@example.com is looking · usually 38s" in second
    assert last == "^borrow: prod-admin refused: r-1 was denied: no"
    assert screen.bells == 0


async def test_a_full_screen_program_gets_one_line_at_the_start_and_one_at_the_end() -> None:
    screen, flight = Screen(), pending()
    screen.answer = Drawn.NOT_HERE
    _, task = follow(screen, flight)
    await asyncio.sleep(0.2)
    flight.grant_it(a_grant(flight))
    await asyncio.wait_for(task, 3)
    assert [line[0] for line in screen.told] == ["+", "+"]


async def test_two_questions_in_one_terminal_do_not_fight_for_the_line() -> None:
    screen, one, other = Screen(), pending(), pending(request="r-2", number="555")
    teller, first = follow(screen, one)
    second = asyncio.get_running_loop().create_task(teller.follow(other))
    await asyncio.sleep(0.15)
    assert {line[0] for line in screen.told if "r-1" in line} == {"="}
    assert [line[0] for line in screen.told if "r-2" in line] == ["+"]
    one.refuse(Refused("no"))
    await asyncio.sleep(0.1)
    assert "=" in {line[0] for line in screen.told if "r-2" in line}  # its turn
    other.refuse(Refused("no"))
    await asyncio.wait_for(asyncio.gather(first, second), 3)


async def test_a_client_that_left_is_told_nothing_more() -> None:
    screen, flight = Screen(), pending()
    _, task = follow(screen, flight)
    await asyncio.sleep(0.1)
    flight.listeners = 0
    flight.touch()
    await asyncio.sleep(0.05)
    before = list(screen.told)
    flight.refuse(Refused("the request was withdrawn", state="cancelled"))
    await asyncio.wait_for(task, 3)
    assert screen.told == before


async def test_a_notice_of_what_the_line_says_is_known_and_others_are_not() -> None:
    screen, flight = Screen(), pending()
    teller, task = follow(screen, flight)
    await asyncio.sleep(0)
    opened = Notice("grant_opened", "", "", "prod-admin", "g-1", 0, "r-1", "g-1")
    session = flight.group.session
    assert teller.has_told(session, opened)  # before we have the grant ourselves
    assert not teller.has_told(session, replace(opened, request="r-9", grant="g-9"))
    assert not teller.has_told(session, replace(opened, kind="grant_revoked"))
    assert not teller.has_told(replace(session, tty="/dev/pts/8"), opened)
    flight.grant_it(a_grant(flight))
    await asyncio.wait_for(task, 3)
    assert teller.has_told(session, opened)
    assert teller.has_told(session, replace(opened, request=""))
    assert not teller.has_told(session, replace(opened, request="", grant=""))


async def test_a_question_nobody_hears_of_leaves_its_notice_to_be_told() -> None:
    screen, flight = Screen(), pending(listeners=0)
    teller, task = follow(screen, flight)
    await asyncio.sleep(0)
    opened = Notice("grant_opened", "", "", "prod-admin", "g-1", 0, "r-1", "g-1")
    assert not teller.has_told(flight.group.session, opened)
    flight.grant_it(a_grant(flight))
    await asyncio.wait_for(task, 3)
    assert screen.told == []
    assert not teller.has_told(flight.group.session, opened)


def test_a_world_reads_real_clocks_by_default() -> None:
    assert World().now().wall > 1_700_000_000


async def test_a_held_sdk_call_is_told_in_its_own_terminal_and_the_asker_is_not() -> None:
    async with workstation() as machine:
        group = Group("prod-admin", os.getpid(), 0, "/dev/pts/9")
        bearers = Bearers(
            machine.state / BEARERS, clock=lambda: 0.0, keep=True, alive=lambda sid, start: True
        )
        bearer = bearers.issue(group)
        await machine.end()
        machine.world = machine.world._replace(alive=lambda sid, start: True)
        await machine.start()
        await machine.ask({"role": "prod-logs", "wait": False})
        assert machine.lines == []
        fetch = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        asked = await machine.fake.asked_for(2)
        await asyncio.sleep(1.0)
        grant = await machine.fake.approve(asked)
        assert (await fetch).status == 200
        told = [line for session, line in machine.lines if session.tty == "/dev/pts/9"]
        assert f"number {asked.request.number}" in told[0]
        assert "granted" in told[-1]
        # The notice of the same yes says nothing new.
        jti = await machine.fake.opened(grant)
        await machine.fake.acknowledged(jti)
        assert (
            len([line for _, line in machine.lines if "granted" in line or "may use" in line]) == 1
        )
