"""The pystray backend for Linux: StatusNotifierItem and dbusmenu, in place of X11's dead icons.

pystray's own X11 backend delivers no clicks and has no menu. This one subclasses pystray's private
base class, so pystray is pinned and this file is tested. Options begin with `sni_`, as pystray
wants it: `sni_beside` is a coroutine function that is run beside the icon with its session bus and
a `Spawn`; when it returns, the icon stops.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

from PIL.Image import Resampling
from pystray import _base
from typing_extensions import override

from borrow.tray.dbusmenu import Line, Menu
from borrow.tray.session_bus import SessionBus
from borrow.tray.status_item import StatusItem
from borrow.tray.tasks import spawner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (16, 22, 24, 32, 48)  # pixels of the icons that panels choose from


class Icon(_base.Icon):  # type: ignore[misc]  # pystray has no types
    """`icon` is the largest image; smaller ones are made from it."""

    HAS_DEFAULT_ACTION = True
    HAS_MENU = True
    HAS_MENU_RADIO = False
    HAS_NOTIFICATION = False

    _loop: asyncio.AbstractEventLoop | None = None
    _item: StatusItem | None = None
    _lines: Menu | None = None
    _end: asyncio.Event | None = None

    @property
    def registered(self) -> bool:
        """Whether a panel shows it."""
        return self._item is not None and self._item.registered

    @override
    def _run(self) -> None:
        asyncio.run(self._live())

    @override
    def _run_detached(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    async def _live(self) -> None:
        bus = await self._connect()
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(bus.on_stray)
        try:
            async with asyncio.TaskGroup() as group:
                spawn = spawner(group)
                item = StatusItem(bus, self.name, self)
                menu = Menu(lambda *words: bus.signal(menu.served, *words))
                self._item, self._lines = item, menu
                self._end_on_signals()
                bus.serve(menu.served)
                self._draw()
                self._update_menu()
                await item.start(spawn)
                self._mark_ready()
                own = [group.create_task(self._end.wait()), group.create_task(bus.closed())]
                if beside := self._options.get("beside"):
                    own.append(group.create_task(beside(bus, spawn)))
                done, _ = await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
                for task in asyncio.all_tasks() - {asyncio.current_task()} - done:
                    task.cancel()
        except ExceptionGroup:
            if not bus.over:
                raise  # else the session ended under our hands, and all that failed is part of that
            self._mark_ready()  # if it ended before we had begun
        finally:
            self._loop = None
            bus.close()

    def _end_on_signals(self) -> None:
        """`borrow tray --stop`, Ctrl-C, and the end of a desktop session: all that is open ends."""
        assert self._loop is not None  # noqa: S101  set above
        assert self._end is not None  # noqa: S101
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._loop.add_signal_handler(number, self._end.set)

    async def _connect(self) -> SessionBus:
        try:
            return await SessionBus.connect()
        except BaseException:
            self._mark_ready()  # pystray's set-up thread waits for it, and would keep us alive
            raise

    def _on_loop(self, call: Callable[[], object]) -> None:
        """At once in the loop's own thread, soon from any other."""
        loop = self._loop
        if loop is None:
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            call()
        else:
            loop.call_soon_threadsafe(call)

    @override
    def _stop(self) -> None:
        if self._end is not None:
            self._on_loop(self._end.set)

    def _draw(self) -> None:
        if self._item is None or self._icon is None:
            return
        images = [self._icon.resize((size, size), Resampling.LANCZOS) for size in SIZES]
        self._item.show(images, self.title)

    @override
    def _show(self) -> None:
        self._on_loop(self._draw)

    @override
    def _hide(self) -> None:
        return  # the item goes with its connection

    @override
    def _update_icon(self) -> None:
        self._icon_valid = True
        self._on_loop(self._draw)

    @override
    def _update_title(self) -> None:
        self._on_loop(self._draw)

    @override
    def _update_menu(self) -> None:
        self._on_loop(self._rebuild)

    def _rebuild(self) -> None:
        if self._lines is not None:
            self._lines.set(tuple(self._lines_of(self.menu)))

    def _lines_of(self, menu: Any) -> Iterator[Line]:
        for item in menu or ():
            if item is _base.Menu.SEPARATOR:
                yield Line("")
            elif item.submenu:
                children = tuple(self._lines_of(item.submenu))
                yield Line(item.text, children=children, key=_key(item))
            else:
                action = self._clicked(item)
                yield Line(item.text, action, (), item.enabled, item.checked, _key(item))

    def _clicked(self, item: Any) -> Callable[[], None]:
        return lambda: item(self)


def _key(item: Any) -> str:
    """What our own items carry beside pystray's members."""
    return str(getattr(item, "key", ""))
