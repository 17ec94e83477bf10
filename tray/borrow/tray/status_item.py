"""org.kde.StatusNotifierItem: our icon as a panel asks for it, registered again whenever one comes.

A panel may start after us, be restarted or crash: the watcher's name tells, and the item is
registered anew. No X11 and no toolkit: it works the same under Wayland hosts.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final

from dbus_fast import Variant

from borrow.protocol.errors import Unavailable
from borrow.tray.dbusmenu import PATH as MENU_PATH
from borrow.tray.session_bus import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL.Image import Image

    from borrow.tray.session_bus import SessionBus
    from borrow.tray.tasks import Spawn

logger = logging.getLogger(__name__)

WATCHER: Final = "org.kde.StatusNotifierWatcher"
PATH: Final = "/StatusNotifierItem"
INTERFACE: Final = "org.kde.StatusNotifierItem"


class StatusItem:
    """`activate` is called for a click on the icon; it must not block."""

    def __init__(self, bus: SessionBus, ident: str, activate: Callable[[], None]) -> None:
        self._bus = bus
        self._ident = ident
        self._activate = activate
        self._title = ""
        self._pixmaps: list[list[Any]] = []
        self.registered = False
        self.served = Served(PATH, INTERFACE, self._methods(), self._properties)

    async def start(self, spawn: Spawn) -> None:
        self._bus.serve(self.served)
        self._name = f"{INTERFACE}-{os.getpid()}-1"
        await self._bus.own(self._name)

        def on_host(owner: str) -> None:
            self.registered = False
            if owner:
                spawn(self._register())

        await self._bus.watch_owner(WATCHER, on_host)
        await self._register()

    async def _register(self) -> None:
        try:
            await self._bus.call(
                WATCHER,
                "/StatusNotifierWatcher",
                WATCHER,
                "RegisterStatusNotifierItem",
                "s",
                self._name,
            )
        except Unavailable:
            logger.info("no panel shows tray icons; waiting for one")
        else:
            self.registered = True

    def show(self, images: Sequence[Image], title: str) -> None:
        pixmaps = [_pixmap(image) for image in images]
        if pixmaps != self._pixmaps:
            self._pixmaps = pixmaps
            self._bus.signal(self.served, "NewIcon")
        if title != self._title:
            self._title = title
            self._bus.signal(self.served, "NewToolTip")
            self._bus.signal(self.served, "NewTitle")

    def _methods(self) -> dict[str, Any]:
        def clicked(x: int, y: int) -> list[Any]:
            self._activate()
            return []

        def ignored(*_: object) -> list[Any]:
            return []

        return {
            "Activate": ("ii", "", clicked),
            "SecondaryActivate": ("ii", "", clicked),
            "ContextMenu": ("ii", "", ignored),
            "Scroll": ("is", "", ignored),
        }

    def _properties(self) -> dict[str, Variant]:
        return {
            "Category": Variant("s", "ApplicationStatus"),
            "Id": Variant("s", self._ident),
            "Title": Variant("s", self._title),
            "Status": Variant("s", "Active"),
            "WindowId": Variant("u", 0),
            "IconName": Variant("s", ""),
            "IconThemePath": Variant("s", ""),
            "IconPixmap": Variant("a(iiay)", self._pixmaps),
            "OverlayIconName": Variant("s", ""),
            "OverlayIconPixmap": Variant("a(iiay)", []),
            "AttentionIconName": Variant("s", ""),
            "AttentionIconPixmap": Variant("a(iiay)", []),
            "AttentionMovieName": Variant("s", ""),
            "ToolTip": Variant("(sa(iiay)ss)", ["", [], self._title, ""]),
            "ItemIsMenu": Variant("b", False),
            "Menu": Variant("o", MENU_PATH),
        }


def _pixmap(image: Image) -> list[Any]:
    """Width, height and ARGB32 in network byte order."""
    red, green, blue, alpha = image.convert("RGBA").split()
    from PIL import Image as Images

    # Pillow has no ARGB; four bands in that order, called RGBA, have the same bytes.
    argb = Images.merge("RGBA", (alpha, red, green, blue))
    return [image.width, image.height, argb.tobytes()]
