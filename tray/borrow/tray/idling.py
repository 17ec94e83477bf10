"""For how long nobody touched this desktop: its X server's word, or GNOME's. IO only."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from borrow.protocol.errors import Unavailable
from borrow.tray import screens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from borrow.tray.session_bus import SessionBus

MUTTER: Final = "org.gnome.Mutter.IdleMonitor"


class _Info(ctypes.Structure):  # XScreenSaverInfo
    _fields_ = (
        ("window", ctypes.c_ulong),
        ("state", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("til_or_since", ctypes.c_ulong),
        ("idle", ctypes.c_ulong),  # milliseconds
        ("event_mask", ctypes.c_ulong),
    )


async def idle(bus: SessionBus | None, environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds; None where nobody tells. Never more than a few milliseconds."""
    if bus is not None and await bus.owner(MUTTER):
        path = "/org/gnome/Mutter/IdleMonitor/Core"
        try:
            told = await bus.call(MUTTER, path, MUTTER, "GetIdletime")
        except Unavailable:
            return None
        return told[0] / 1000 if told and isinstance(told[0], int) else None
    display = environ.get("DISPLAY", "")
    if environ.get("WAYLAND_DISPLAY") or not screens.is_local(display):
        return None  # Xwayland sees only what its own windows get
    return _of_x(display)


def _of_x(display: str) -> float | None:
    try:
        x11, saver = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXss.so.1")
    except OSError:
        return None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = (ctypes.c_char_p,)
    x11.XCloseDisplay.argtypes = (ctypes.c_void_p,)
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    x11.XDefaultRootWindow.argtypes = (ctypes.c_void_p,)
    ask = saver.XScreenSaverQueryInfo
    ask.argtypes = (ctypes.c_void_p, ctypes.c_ulong, ctypes.POINTER(_Info))
    opened = x11.XOpenDisplay(display.encode("utf-8", "surrogateescape"))
    if not opened:
        return None
    try:
        info = _Info()
        known = ask(opened, x11.XDefaultRootWindow(opened), ctypes.byref(info))
        return info.idle / 1000 if known else None
    finally:
        x11.XCloseDisplay(opened)
