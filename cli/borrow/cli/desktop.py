"""What of a desktop is here to tell a person something: notifications, a place for a tray, windows.

Asked of the session bus, with a bound; where there is none (a server, a container, ssh) lines go to
terminals and `borrow`, which is no fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.cli.checks import Finding
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.tray.looks import Looks

WITHIN: Final = 2.0  # seconds for each answer of the bus
INSTALL_MONITORS: Final = "apt install libxinerama1, or your system's package of it"
_USUAL_DPI: Final = 96.0  # what a screen without a say is taken for
INSTALL_WINDOWS: Final = "apt install python3-tk, or your system's package of it"
_NAMES: Final = (
    ("notify", "org.freedesktop.Notifications", "notifications"),
    ("tray", "org.kde.StatusNotifierWatcher", "a tray for icons"),
)
_INSTEAD: Final = {
    "notify": "start a service for them (mako, dunst, …), or `borrow inbox --watch`",
    "tray": "GNOME: its AppIndicator extension; i3bar: snixembed; else `borrow inbox --watch`",
}
# As in borrow.tray.app, which the command line does not import for a look.
_SAVERS: Final = tuple(
    f"org.{desktop}.ScreenSaver" for desktop in ("freedesktop", "gnome", "xfce", "mate", "cinnamon")
)


class Seen(NamedTuple):
    """`names`: which of ours have an owner on the session bus."""

    names: frozenset[str]
    locked: bool = False


def presence(variables: Mapping[str, str]) -> Iterator[Finding]:
    found = _look(variables.get("DBUS_SESSION_BUS_ADDRESS", ""))
    if isinstance(found, str):
        told = f"{found}: questions are shown in terminals and by `borrow`"
        yield Finding("ok", "desktop", told)
        return
    windows = _has_tkinter()
    yield from judge(found, windows=windows)
    if windows and _is_here(variables):
        from borrow.tray.looks import Asked
        from borrow.tray.screens import look

        display = variables["DISPLAY"]
        if look(display).closed:
            told = f"the display {shown(display, 40)} lets no window in: questions go to terminals"
            yield Finding(
                "warning", "display", told, "run `borrow` as the user whose desktop it is"
            )
        else:
            yield from screen(Asked(variables).looks())


def judge(seen: Seen, *, windows: bool) -> Iterator[Finding]:
    for what, name, words in _NAMES:
        if name in seen.names:
            yield Finding("ok", what, f"this desktop has {words}")
        else:
            told = f"this desktop session lacks {words} ({name})"
            yield Finding("ok", what, told, _INSTEAD[what])
    if windows:
        yield Finding("ok", "window", "windows can be opened to ask and answer")
    else:
        told = "this Python has no tkinter: questions are answered in terminals"
        yield Finding("ok", "window", told, INSTALL_WINDOWS)
    if seen.locked:
        told = "the screen is locked: notifications wait until it is unlocked"
        yield Finding("ok", "screen", told)


def screen(looks: Looks) -> Iterator[Finding]:
    """Where windows come up, and how large their text is, where that is not the usual."""
    if not looks.monitors:
        told = "the monitors cannot be told apart: a window stands where the window manager puts it"
        yield Finding("ok", "monitors", told, INSTALL_MONITORS)
    elif len(looks.monitors) > 1:
        sizes = ", ".join(each.size for each in looks.monitors)
        told = f"{len(looks.monitors)} monitors ({sizes}): a window comes up on the pointer's"
        yield Finding("ok", "monitors", told)
    scale = looks.scale(_USUAL_DPI)
    if scale != 1.0:
        told = f"text is drawn {scale:.3g} times as large: what does not fit scrolls, buttons stay"
        yield Finding("ok", "text", told, "BORROW_TEXT_SCALE=1 decides over the desktop")


def icon(pid: int, why_not: str) -> Finding:
    """Whether our own icon is shown; `why_not` it is not started by itself."""
    if pid:
        return Finding("ok", "icon", f"the tray runs (process {pid})")
    if why_not:
        return Finding("ok", "icon", f"the tray is not started here: {why_not}", _cure(why_not))
    return Finding("ok", "icon", "the tray does not run", "borrow tray")


def _cure(why_not: str) -> str:
    from borrow.cli.traying import INSTALL

    return INSTALL if why_not.startswith("not installed") else ""


def _is_here(variables: Mapping[str, str]) -> bool:
    """Whether the display is this machine's: another one's may let us wait."""
    from borrow.tray.screens import is_local

    return is_local(variables.get("DISPLAY", "")) and not variables.get("SSH_CONNECTION")


def _has_tkinter() -> bool:
    from importlib.util import find_spec

    return find_spec("_tkinter") is not None


def _look(address: str) -> Seen | str:
    """What is on the session bus, or why that cannot be told."""
    if not address:
        return "no desktop session here"
    try:
        # It has no type information; what is used of it is below.
        from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]
        from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]
    except ImportError:  # not on this system
        return "this system has no session bus for Borrow"
    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    try:
        connection = open_dbus_connection(bus=address)
    except Exception as exc:  # noqa: BLE001  it raises whatever an odd address makes of it
        return f"the session bus does not answer ({type(exc).__name__})"

    def ask(whom: object, method: str, *words: str) -> bool:
        message = new_method_call(whom, method, "s" * len(words), words)
        return connection.send_and_get_reply(message, timeout=WITHIN).body[0] is True

    def locks(name: str) -> bool:
        place = DBusAddress("/" + name.replace(".", "/"), name, name)
        return ask(bus, "NameHasOwner", name) and ask(place, "GetActive")

    with connection:
        try:
            names = frozenset(name for _, name, _ in _NAMES if ask(bus, "NameHasOwner", name))
            return Seen(names, any(locks(name) for name in _SAVERS))
        except Exception as exc:  # noqa: BLE001  as above
            return f"the session bus does not answer ({type(exc).__name__})"
