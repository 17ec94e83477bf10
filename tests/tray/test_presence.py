"""Whether the person is here: one coarse word, once a minute."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from borrow.tray import menu as menus
from borrow.tray.app import App
from borrow.tray.idling import MUTTER, idle
from borrow.tray.presence import EVERY, IDLE_AFTER, Heard, is_off, judge
from borrow.tray.session_bus import SessionBus
from borrow.tray.tasks import spawner
from borrow.tray.windows import Windows
from borrow_fakes.notifyd import session_bus
from borrow_fakes.telling_daemon import TellingDaemon
from borrow_fakes.tray_states import told

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("paused", "locked", "seconds", "state"),
    [
        (False, False, 0.0, "active"),
        (False, False, IDLE_AFTER - 1, "active"),
        (False, False, IDLE_AFTER, "idle"),
        (False, False, None, "idle"),  # nobody tells: it claims no more than it knows
        (False, True, 0.0, "locked"),
        (True, False, 0.0, "absent"),
        (True, True, None, "absent"),
    ],
)
def test_the_word(paused: bool, locked: bool, seconds: float | None, state: str) -> None:
    assert judge(paused=paused, locked=locked, idle=seconds) == state


def test_it_is_said_when_it_changes_and_once_a_minute() -> None:
    heard = Heard("active", 100.0)
    assert not heard.due("active", 100.0 + EVERY - 1)
    assert heard.due("active", 100.0 + EVERY)
    assert heard.due("idle", 101.0)
    assert Heard().due("active", 0.0)


def test_it_can_be_switched_off() -> None:
    assert is_off({"BORROW_PRESENCE": "off"})
    assert not is_off({})


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not what():  # noqa: ASYNC110  a thread brings it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("tells", [True, False])
async def test_the_tray_says_it_and_a_pause_is_an_absence(tells: bool) -> None:
    daemon = TellingDaemon()
    app = App(daemon, Windows(["false"]), lambda *_: None, lambda: None, tells_presence=tells)
    async with session_bus() as address:
        bus = await SessionBus.connect(address)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(app.run(bus, spawner(tasks)))
            daemon.lines.put(told())
            await until(lambda: daemon.posted or (app.known.connected and not tells))
            app.act(menus.Pause(True))
            await until(lambda: app.paused)
            if tells:
                await until(lambda: len(daemon.posted) == 2)
            app.act(menus.Quit())
            await running
        bus.close()
    words = [body["state"] for path, body in daemon.posted if path == "/v1/presence"]
    assert words == (["idle", "absent"] if tells else [])


async def test_how_long_nobody_touched_it_is_gnomes_word_or_nobodys() -> None:
    async with session_bus() as address:
        bus = await SessionBus.connect(address)
        assert not await bus.owner(MUTTER)
        assert await idle(bus, {}) is None
        assert await idle(bus, {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}) is None
        assert await idle(bus, {"DISPLAY": "far.example.com:0"}) is None
        bus.close()
