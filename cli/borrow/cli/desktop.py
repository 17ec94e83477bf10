"""What of a desktop is here to tell a person something: notifications, and a place for a tray.

Asked of the session bus, with a bound; where there is none (a server, a container, ssh) lines go to
terminals and `borrow`, which is no fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.cli.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WITHIN: Final = 2.0  # seconds for each answer of the bus
_NAMES: Final = (
    ("notify", "org.freedesktop.Notifications", "notifications"),
    ("tray", "org.kde.StatusNotifierWatcher", "a tray for icons"),
)


def presence(variables: Mapping[str, str]) -> Iterator[Finding]:
    found = _owned(variables.get("DBUS_SESSION_BUS_ADDRESS", ""))
    if isinstance(found, str):
        told = f"{found}: questions are shown in terminals and by `borrow`"
        yield Finding("ok", "desktop", told)
        return
    for what, name, words in _NAMES:
        if name in found:
            yield Finding("ok", what, f"this desktop has {words}")
        else:
            yield Finding(
                "ok",
                what,
                f"this desktop session has no service for {words} ({name})",
                "start one, or watch terminals and `borrow`",
            )


def _owned(address: str) -> frozenset[str] | str:
    """Which of the names have an owner on the session bus, or why that cannot be told."""
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
    with connection:
        try:
            return frozenset(
                name
                for _, name, _ in _NAMES
                if connection.send_and_get_reply(
                    new_method_call(bus, "NameHasOwner", "s", (name,)), timeout=WITHIN
                ).body[0]
            )
        except Exception as exc:  # noqa: BLE001  as above
            return f"the session bus does not answer ({type(exc).__name__})"
