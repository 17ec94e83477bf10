"""When a tray is started by itself, that there is one, and what `borrow doctor` says of it."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from borrow.cli import traying
from borrow.cli.desktop import Seen, icon, judge
from borrow.cli.home import Home, open_home
from borrow.protocol.errors import Misconfigured
from borrow_fakes.lab import BORROW, finish
from borrow_fakes.notifyd import Peer, session_bus
from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from pathlib import Path

    from borrow_fakes.lab import Home as Lab

DESKTOP = {"DISPLAY": ":7", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
BOTH = frozenset({"org.freedesktop.Notifications", "org.kde.StatusNotifierWatcher"})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    places = {"BORROW_STATE_DIR": str(tmp_path / "s"), "XDG_RUNTIME_DIR": str(tmp_path)}
    return open_home(places, create=True)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        (DESKTOP, ""),
        ({"WAYLAND_DISPLAY": "wayland-0", **DESKTOP, "DISPLAY": ""}, ""),
        (DESKTOP | {"BORROW_TRAY": "off"}, "BORROW_TRAY=off"),
        (DESKTOP | {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "this is an ssh session"),
        ({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}, "no display"),
        ({"DISPLAY": ":7"}, "no D-Bus session"),
    ],
)
def test_a_tray_starts_by_itself_only_where_it_can_be_seen(
    variables: dict[str, str], why: str
) -> None:
    assert traying.why_not(variables) == why


def test_a_bus_at_its_usual_place_needs_no_variable(tmp_path: Path) -> None:
    variables = {"DISPLAY": ":7", "XDG_RUNTIME_DIR": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        assert traying.why_not(variables) == ""


def test_one_tray_holds_the_lock_and_the_next_is_told_so(home: Home) -> None:
    assert traying.running(home) == 0
    with traying.held(home) as first:
        assert first
        assert traying.running(home) > 1
        with traying.held(home) as second:
            assert not second
    assert traying.running(home) == 0
    with traying.held(home) as again:
        assert again


def test_a_stale_number_in_the_lock_file_is_nobody_to_end(home: Home) -> None:
    (home.state / "tray.lock").write_text("1")
    assert traying.running(home) == 0
    assert not traying.stop(home)


def test_a_link_in_place_of_the_lock_is_refused(home: Home, tmp_path: Path) -> None:
    (home.state / "tray.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured, match=r"tray\.lock"), traying.held(home):
        pass
    assert not (tmp_path / "elsewhere").exists()
    assert traying.running(home) == 0


def test_each_lack_of_a_desktop_is_one_line_with_its_cure() -> None:
    whole = {each.what: each for each in judge(Seen(BOTH), windows=True)}
    assert {each.hint for each in whole.values()} == {""}
    bare = list(judge(Seen(frozenset(), locked=True), windows=False))
    assert [each.what for each in bare] == ["notify", "tray", "window", "screen"]
    assert all(each.level == "ok" for each in bare)
    assert "python3-tk" in bare[2].hint
    assert "locked" in bare[3].told


def test_the_icon_is_there_or_why_it_is_not() -> None:
    assert "12" in icon(12, "no display").told
    assert icon(0, "").hint == "borrow tray"
    assert icon(0, "no display").told.endswith("no display")
    assert "borrow[tray]" in icon(0, "not installed: pystray").hint


@pytest.mark.parametrize("address", ["", "unix:path=/nowhere", "nonsense"])
def test_without_a_session_bus_the_tray_says_so_and_ends(solo: Lab, address: str) -> None:
    done = solo.borrow("tray", env={"DBUS_SESSION_BUS_ADDRESS": address}, ok=False)
    error, hint = refused_with(done, 4)
    assert error == "there is no D-Bus session"
    assert "borrow inbox" in hint
    assert traying.running(open_home(solo.env)) == 0


@pytest.mark.parametrize("folder", ["s", "a folder", 'odd"$(id)`%f\\'])
def test_at_login_the_desktop_starts_exactly_our_command(tmp_path: Path, folder: str) -> None:
    """Read back by the rules of the desktop entry specification, as a desktop does."""
    places = {"XDG_CONFIG_HOME": str(tmp_path), "BORROW_STATE_DIR": str(tmp_path / folder)}
    path = traying.at_login(places, on=True)
    assert path == tmp_path / "autostart/borrow-tray.desktop"
    (line,) = (text for text in path.read_text().splitlines() if text.startswith("Exec="))
    assert words_of(line.removeprefix("Exec=")) == [
        "env",
        f"BORROW_STATE_DIR={tmp_path / folder}",
        *(sys.executable, "-P", "-m", "borrow.cli.main", "tray"),
    ]
    traying.at_login(places, on=False)
    assert not path.exists()
    traying.at_login(places, on=False)


def words_of(value: str) -> list[str]:
    """A string value's escapes first, then the quoting of Exec, then its field codes."""
    text = re.sub(r"\\(.)", lambda found: {"s": " "}.get(found[1], found[1]), value)
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    assert " ".join(f'"{each}"' for each in quoted) == text
    return [re.sub(r"\\(.)", r"\1", each).replace("%%", "%") for each in quoted]


def test_a_path_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    places = {"XDG_CONFIG_HOME": str(tmp_path), "BORROW_STATE_DIR": "/s\nHidden=true"}
    with pytest.raises(Misconfigured, match="autostart"):
        traying.at_login(places, on=True)
    assert not (tmp_path / "autostart/borrow-tray.desktop").exists()


async def test_with_no_panel_the_tray_waits_for_one_and_ends_with_the_session(solo: Lab) -> None:
    async with session_bus() as address:
        child = solo.spawn(BORROW, "tray", env={"DBUS_SESSION_BUS_ADDRESS": address})
        panel = await Peer.at(address)
        async with asyncio.timeout(20):
            while not await panel.owns(f"org.kde.StatusNotifierItem-{child.pid}-1"):
                assert child.poll() is None, child.communicate()
                await asyncio.sleep(0.05)
        panel.bus.disconnect()
    code, out, err = finish(child)
    assert (code, out, err) == (0, "", "")
