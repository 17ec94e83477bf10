"""The tray without a desktop: what the daemon tells, what is shown, what is asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Unavailable
from borrow.tray import menu as menus
from borrow.tray.app import App
from borrow.tray.picture import Look
from borrow.tray.tasks import spawner
from borrow.tray.windows import Windows
from borrow_fakes.center import FakeCenter
from borrow_fakes.telling_daemon import TellingDaemon
from borrow_fakes.tray_states import decision, grant, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass
class Running:
    app: App
    daemon: TellingDaemon
    shown: list[tuple[Any, tuple[menus.Entry, ...]]]

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not what():  # noqa: ASYNC110  a thread brings it
                await asyncio.sleep(0.01)

    @property
    def look(self) -> Look:
        look: Look = self.shown[-1][0].look
        return look

    @property
    def title(self) -> str:
        return str(self.shown[-1][0].title)


@contextlib.asynccontextmanager
async def running(center: FakeCenter | None = None) -> AsyncIterator[Running]:
    daemon, shown = TellingDaemon(), []

    def show(seen: Any, entries: tuple[menus.Entry, ...]) -> None:
        shown.append((seen, entries))

    app = App(daemon, Windows(["false"]), show, lambda: None, center=center)
    async with asyncio.TaskGroup() as tasks:
        made = Running(app, daemon, shown)
        task = tasks.create_task(app.run(None, spawner(tasks)))
        await made.until(lambda: shown)
        yield made
        app.act(menus.Quit())
        await task


async def test_the_icon_follows_what_the_daemon_tells() -> None:
    async with running() as here:
        assert here.look is Look.AWAY
        here.daemon.lines.put(told())
        await here.until(lambda: here.look is Look.IDLE)
        here.daemon.lines.put(told(decisions=[decision()]))
        await here.until(lambda: here.look is Look.ASKED)
        here.daemon.lines.put(None)
        await here.until(lambda: here.look is Look.AWAY)
        here.daemon.lines.put(told())
        await here.until(lambda: here.look is Look.IDLE)  # by itself


async def test_a_countdown_that_began_later_is_drawn_at_the_turn_of_its_minute() -> None:
    async with running() as here:
        ends = time.time() + 120.3  # noqa: TID251  the app's clock
        here.daemon.lines.put(told(grants=[grant(expires_at=ends)]))
        await here.until(lambda: here.title == "Borrow: dev for 2m")
        await here.until(lambda: here.title == "Borrow: dev for 1m")


async def test_what_stays_the_same_is_not_drawn_again() -> None:
    async with running() as here:
        here.daemon.lines.put(told())
        await here.until(lambda: "prod" in str(here.shown[-1][1]))  # the roles are there
        before = len(here.shown)
        for _ in range(5):
            here.daemon.lines.put(told())
        await asyncio.sleep(0.2)
        assert len(here.shown) == before


async def test_the_menu_asks_the_daemon_to_take_away_and_for_nothing_else() -> None:
    async with running() as here:
        for action in (
            menus.Deny("r-1"),
            menus.Give("g-1"),
            menus.Withdraw("r-2"),
            menus.NotMe("g-2"),
        ):
            here.app.act(action)
        await here.until(lambda: len(here.daemon.posted) == 4)
        assert sorted(here.daemon.posted, key=str) == [
            ("/v1/decisions/r-1", {"decision": "deny"}),
            ("/v1/report", {"id": "g-2"}),
            ("/v1/return", {"grant": "g-1"}),
            ("/v1/return", {"request": "r-2"}),
        ]


async def test_a_refusal_ends_nothing() -> None:
    async with running() as here:
        here.daemon.refuses = Unavailable("the approver does not answer")
        here.app.act(menus.Deny("r-1"))
        here.app.act(menus.Borrow("dev"))  # `false` opens no window
        await here.until(lambda: here.daemon.posted)
        here.daemon.lines.put(told())
        await here.until(lambda: here.look is Look.IDLE)


async def test_a_pause_is_on_the_icon_and_can_be_ended() -> None:
    async with running() as here:
        here.app.act(menus.Pause(on=True))
        await here.until(lambda: here.shown[-1][0].paused)
        here.app.act(menus.Pause(on=False))
        await here.until(lambda: not here.shown[-1][0].paused)


async def test_without_a_session_bus_the_systems_own_notifications_ask_and_say_no() -> None:
    center = FakeCenter()
    async with running(center) as here:
        asked = decision()
        here.daemon.lines.put(told(decisions=[asked]))
        await here.until(lambda: center.shown)
        (name,) = center.shown
        center.press(name, "deny")
        await here.until(lambda: here.daemon.posted)
        ((path, body),) = here.daemon.posted
    assert path == f"/v1/decisions/{asked['request']}"
    assert body == {"decision": "deny"}
