"""A person at a desk: their `Home`, whose tray is in the panel of a `Desk`, and what they press."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

from borrow_fakes.lab import BORROW, wait_for

if TYPE_CHECKING:
    import subprocess

    from PIL.Image import Image

    from borrow_fakes.desk import Box, Desk
    from borrow_fakes.lab import Home

MENU = ("/MenuBar", "com.canonical.dbusmenu")
ITEM = ("/StatusNotifierItem", "org.kde.StatusNotifierItem")
REVIEW, DENY = 148, 57  # pixels from the right edge of a notification to the button's middle
# Any program that fetches its credentials, and prints them.
_CURL = 'curl -sSf -m 60 -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN"'
FETCH = ("sh", "-c", f"{_CURL} $AWS_CONTAINER_CREDENTIALS_FULL_URI")
_OF_DESK = ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "NO_AT_BRIDGE")


@dataclass(slots=True)
class Seat:
    home: Home
    desk: Desk
    tray: subprocess.Popen[str] | None = None

    @classmethod
    def at(cls, desk: Desk, home: Home) -> Seat:
        """The programs of `home` find the desk's display and bus."""
        home.extra |= {name: desk.env[name] for name in _OF_DESK if name in desk.env}
        home.extra["BORROW_TRAY"] = "off"  # a test starts its own
        return cls(home, desk)

    def start_tray(self) -> subprocess.Popen[str]:
        """`borrow tray`, once its icon is in the panel."""
        self.tray = self.home.spawn(BORROW, "tray")
        wait_for(self.has_icon, why="the icon")
        return self.tray

    def has_icon(self) -> bool:
        if self.tray is not None and self.tray.poll() is not None:
            raise AssertionError(f"the tray ended: {self.tray.communicate()}")
        return self.desk.owns(self.name) and self.desk.icon() is not None

    def end_tray(self) -> None:
        if self.tray is not None and self.tray.poll() is None:
            self.tray.terminate()
            self.tray.communicate(timeout=10)
        wait_for(lambda: self.desk.icon() is None, why="the icon to go")
        self.tray = None

    @property
    def name(self) -> str:
        assert self.tray is not None
        return f"org.kde.StatusNotifierItem-{self.tray.pid}-1"

    # -- what is seen --------------------------------------------------------------------------

    def title(self) -> str:
        """The icon's tooltip."""
        (told,) = self.call(ITEM, "org.freedesktop.DBus.Properties.Get", "ss", ITEM[1], "Title")
        return str(told.value)

    def menu(self) -> list[tuple[str, list[Any]]]:
        """The menu as its host gets it: (label, children); separators are left out."""
        _, root = self.call(MENU, f"{MENU[1]}.GetLayout", "iias", 0, -1, [])

        def kids(node: Any) -> list[tuple[str, list[Any]]]:
            below = [each.value for each in node[2]]
            return [
                (each[1]["label"].value.replace("__", "_"), kids(each))
                for each in below
                if "label" in each[1]
            ]

        return kids(root)

    def call(
        self, place: tuple[str, str], member: str, signature: str, *body: Any, name: str = ""
    ) -> list[Any]:
        """A call on the session bus, as any program of this person may make it."""
        interface, _, method = member.rpartition(".")
        message = Message(name or self.name, place[0], interface, method, signature=signature)
        message.body = list(body)

        async def ask() -> list[Any]:
            async with asyncio.timeout(10):
                address = self.desk.env["DBUS_SESSION_BUS_ADDRESS"]
                bus = await MessageBus(bus_address=address).connect()
                answer = await bus.call(message)
                bus.disconnect()
            assert answer is not None
            assert answer.message_type.name == "METHOD_RETURN", answer.body
            return list(answer.body)

        return asyncio.run(ask())

    # -- what is pressed -----------------------------------------------------------------------

    def click_icon(self, button: int = 1) -> None:
        x, y = wait_for(self.desk.icon, why="the icon")
        self.desk.click(x, y, button)

    def pick(self, *words: str) -> None:
        """Open the menu with the mouse and go to the entry that begins so, with real keys."""
        keys: list[str] = []
        lines = wait_for(lambda: self.has_line(*words), why=f"{words} in the menu")
        for depth, word in enumerate(words):
            place = next(n for n, (label, _) in enumerate(lines) if label.startswith(word))
            # A submenu opens on its first line, the menu itself on none.
            keys += ["Down"] * (place + (depth == 0))
            keys.append("Right" if depth + 1 < len(words) else "Return")
            lines = lines[place][1]
        self.open_menu()
        for key in keys:
            self.desk.tool("xdotool", "key", key, "sleep", "0.08")

    def open_menu(self) -> None:
        self.click_icon(3)
        wait_for(lambda: self.desk.menus(), why="the menu to open")

    def click_over_bus(self, *words: str) -> None:
        """What any other program of this person can do: name a line by its number."""
        _, root = self.call(MENU, f"{MENU[1]}.GetLayout", "iias", 0, -1, [])
        node = root
        for word in words:
            below = [each.value for each in node[2]]
            node = next(
                each
                for each in below
                if "label" in each[1] and each[1]["label"].value.startswith(word)
            )
        event = (node[0], "clicked", Variant("s", ""), 0)
        self.call(MENU, f"{MENU[1]}.Event", "isvu", *event)

    def has_line(self, *words: str) -> list[tuple[str, list[Any]]] | None:
        whole = lines = self.menu()
        for word in words:
            found = [below for label, below in lines if label.startswith(word)]
            if not found:
                return None
            lines = found[0]
        return whole

    def press(self, button: int) -> None:
        """`REVIEW` or `DENY` of the newest notification that has buttons."""
        _, _, right, bottom = wait_for(self.questions, why="a notification that asks")[-1]
        self.desk.click(right - button, bottom - 30)

    def questions(self) -> list[Box]:
        """The notifications with buttons, which are darker than the paper around them."""
        whole = self.desk.shot().convert("L")

        def dark(x: int, y: int) -> bool:
            seen = whole.getpixel((x, y))
            return isinstance(seen, int | float) and seen < 252

        return [
            (left, top, right, bottom)
            for left, top, right, bottom in self.desk.notifications()
            if dark(right - DENY - 30, bottom - 30) and dark(right - DENY + 30, bottom - 30)
        ]


def keep(picture: Image, name: str, folder: Path) -> None:
    """A screenshot, where a person can look at it later: BORROW_TEST_ARTEFACTS or `folder`."""
    place = Path(os.environ.get("BORROW_TEST_ARTEFACTS") or folder)
    place.mkdir(parents=True, exist_ok=True)
    picture.save(place / f"{name}.png")
