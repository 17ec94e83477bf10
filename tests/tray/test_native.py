"""Notifications of macOS and Windows, before a working fake of their center; untried on either."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from borrow.tray.native import NativeBubbles, center_here
from borrow.tray.quiet import DENY, REVIEW, Bubble
from borrow.tray.run import on_main
from borrow_fakes.center import FakeCenter

ASKED = Bubble("r-1", "ann asks for prod", ("for 1h", "<b>x</b>"), (REVIEW, DENY), urgent=True)


@dataclass
class Talk:
    center: FakeCenter = field(default_factory=FakeCenter)
    pressed: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def begin(self) -> NativeBubbles:
        made = NativeBubbles(
            self.center,
            on_action=lambda key, action: self.pressed.append((key, action)),
            on_closed=self.closed.append,
        )
        await made.start()
        return made


async def test_what_is_shown_is_plain_text_with_its_two_buttons() -> None:
    here = Talk()
    bubbles = await here.begin()
    assert await bubbles.show(ASKED)
    (told,) = here.center.shown.values()
    assert (told.title, told.body) == ("ann asks for prod", "for 1h\n<b>x</b>")
    assert told.buttons == (("review", "Review…"), ("deny", "Deny"))
    assert told.urgent


async def test_a_press_reaches_the_loop_and_no_other_button_exists() -> None:
    here = Talk()
    bubbles = await here.begin()
    await bubbles.show(ASKED)
    here.center.press("n-0", "approve")
    here.center.press("n-0", DENY)
    assert here.pressed == []  # only in the loop
    await asyncio.sleep(0)
    assert here.pressed == [("r-1", DENY)]
    here.center.press("n-0", DENY)  # the system's own echo of it
    await asyncio.sleep(0)
    assert here.pressed == [("r-1", DENY)]


async def test_what_is_withdrawn_or_replaced_says_nothing_any_more() -> None:
    here = Talk()
    bubbles = await here.begin()
    await bubbles.show(ASKED)
    await bubbles.show(ASKED)
    assert list(here.center.shown) == ["n-1"]
    here.center.press("n-0", DENY)
    await asyncio.sleep(0)
    assert here.pressed == []
    await bubbles.withdraw_all()
    assert not here.center.shown
    here.center.dismiss("n-1")
    await asyncio.sleep(0)
    assert here.closed == []


async def test_a_dismissed_one_is_told_once() -> None:
    here = Talk()
    bubbles = await here.begin()
    await bubbles.show(ASKED)
    here.center.dismiss("n-0")
    here.center.dismiss("n-0")
    await asyncio.sleep(0)
    assert here.closed == ["r-1"]


async def test_all_that_passes_has_one_place() -> None:
    here = Talk()
    bubbles = await here.begin()
    await bubbles.show(Bubble("lately:1", "a", ("b",), passing=True))
    await bubbles.show(Bubble("lately:2", "c", ("d",), passing=True))
    assert [told.title for told in here.center.shown.values()] == ["c"]


@pytest.mark.parametrize("center", [FakeCenter(silent=True), FakeCenter(fails=True)])
async def test_where_nothing_is_shown_that_is_said_and_nothing_raises(center: FakeCenter) -> None:
    bubbles = await Talk(center).begin()
    assert not await bubbles.show(ASKED)
    await bubbles.withdraw("r-1")


def test_linux_has_its_own_client_and_a_system_without_the_library_has_none() -> None:
    assert center_here("linux") is None
    assert center_here("freebsd14") is None


def test_the_tray_is_imported_without_dbus_and_without_a_display() -> None:
    code = (
        "import sys; sys.modules['dbus_fast'] = sys.modules['desktop_notifier'] = None\n"
        "import borrow.tray.app, borrow.tray.run, borrow.tray.native as native\n"
        "assert native.center_here('darwin') is None and native.center_here('win32') is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={}
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr


def test_an_icon_of_pystray_that_breaks_on_import_is_said_with_the_way_to_install_it() -> None:
    code = (
        "import sys, types\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pystray': raise RuntimeError('DisplayNameError')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from borrow.protocol.errors import Misconfigured\n"
        "from borrow.tray.run import load_pystray\n"
        "try: load_pystray()\n"
        "except Misconfigured as exc: print(exc.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "pip install 'borrow[tray]'\n"


def test_icon_and_menu_change_at_once_where_any_thread_may_change_them() -> None:
    changed: list[int] = []
    on_main(lambda: changed.append(1), "linux")
    on_main(lambda: changed.append(2), "win32")
    assert changed == [1, 2]
