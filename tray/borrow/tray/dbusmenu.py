"""com.canonical.dbusmenu: our menu as a panel asks for it.

A number belongs to one line of the menu for ever: a click on a menu that has just changed meets a
number that is gone, never another line's action. Where only words change (a countdown), hosts are
told of those words: the menu is not laid out anew, and one that stands open stays open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dbus_fast import Variant

from borrow.tray.session_bus import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATH: Final = "/MenuBar"
INTERFACE: Final = "com.canonical.dbusmenu"
_ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Line:
    """`text` "" is a separator. `action` is called in the event loop and must not block.

    `key` says which line it is while its words change; "" for one whose words do not.
    """

    text: str
    action: Callable[[], None] | None = None
    children: tuple[Line, ...] = ()
    enabled: bool = True
    checked: bool | None = None
    key: str = ""


class Menu:
    """`emit(member, signature, *body)` sends a signal of this object."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._revision = 1
        self._numbers: dict[tuple[str, ...], int] = {}
        self._next = _ROOT + 1
        self._lines: dict[int, Line] = {_ROOT: Line("")}
        self._children: dict[int, list[int]] = {_ROOT: []}
        self.served = Served(PATH, INTERFACE, self._methods(), self._properties)

    def set(self, lines: Sequence[Line]) -> None:
        numbers, layout = self._numbers, self._children
        looks = {number: self._look(number) for number in self._lines}
        self._numbers, self._lines, self._children = {}, {_ROOT: Line("")}, {}
        self._children[_ROOT] = self._number(lines, (), numbers)
        if self._children != layout:
            self._revision += 1
            self._emit("LayoutUpdated", "ui", self._revision, _ROOT)
            return
        new = {number: self._look(number) for number in self._lines}
        changed = [[number, look] for number, look in new.items() if look != looks[number]]
        if changed:
            self._emit("ItemsPropertiesUpdated", "a(ia{sv})a(ias)", changed, [])

    def _number(
        self, lines: Sequence[Line], above: tuple[str, ...], before: dict[tuple[str, ...], int]
    ) -> list[int]:
        out = []
        for place, line in enumerate(lines):
            key = (*above, line.key or line.text or f"\0{place}")
            while key in self._numbers:  # the same words twice
                key = (*key[:-1], key[-1] + "\0")
            number = before.get(key, self._next)
            self._next = max(self._next, number + 1)
            self._numbers[key], self._lines[number] = number, line
            self._children[number] = self._number(line.children, key, before)
            out.append(number)
        return out

    # -- what a host asks ----------------------------------------------------------------------

    def _methods(self) -> dict[str, Any]:
        return {
            "GetLayout": ("iias", "u(ia{sv}av)", self._get_layout),
            "GetGroupProperties": ("aias", "a(ia{sv})", self._get_group),
            "GetProperty": ("is", "v", self._get_property),
            "Event": ("isvu", "", self._event),
            "EventGroup": ("a(isvu)", "ai", self._event_group),
            "AboutToShow": ("i", "b", lambda number: [False]),
            "AboutToShowGroup": ("ai", "aiai", lambda numbers: [[], []]),
        }

    def _properties(self) -> dict[str, Variant]:
        return {
            "Version": Variant("u", 3),
            "TextDirection": Variant("s", "ltr"),
            "Status": Variant("s", "normal"),
            "IconThemePath": Variant("as", []),
        }

    def _get_layout(self, parent: int, depth: int, names: list[str]) -> list[Any]:
        return [self._revision, self._node(parent if parent in self._lines else _ROOT, depth)]

    def _node(self, number: int, depth: int) -> list[Any]:
        below = [] if depth == 0 else self._children[number]
        kids = [Variant("(ia{sv}av)", self._node(each, depth - 1)) for each in below]
        return [number, self._look(number), kids]

    def _look(self, number: int) -> dict[str, Variant]:
        line = self._lines[number]
        if number == _ROOT:
            return {"children-display": Variant("s", "submenu")}
        if not line.text:
            return {"type": Variant("s", "separator")}
        look = {
            "label": Variant("s", line.text.replace("_", "__")),  # a single one is a mnemonic
            "enabled": Variant("b", line.enabled),
            "visible": Variant("b", True),
        }
        if line.children:
            look["children-display"] = Variant("s", "submenu")
        if line.checked is not None:
            look["toggle-type"] = Variant("s", "checkmark")
            look["toggle-state"] = Variant("i", int(line.checked))
        return look

    def _get_group(self, numbers: list[int], names: list[str]) -> list[Any]:
        wanted = numbers or list(self._lines)
        return [[[each, self._look(each)] for each in wanted if each in self._lines]]

    def _get_property(self, number: int, name: str) -> list[Any]:
        look = self._look(number) if number in self._lines else {}
        return [look.get(name, Variant("s", ""))]

    def _event(self, number: int, kind: str, data: Variant, stamp: int) -> list[Any]:
        self._click(number, kind)
        return []

    def _event_group(self, events: list[list[Any]]) -> list[Any]:
        unknown = [number for number, *_ in events if number not in self._lines]
        for number, kind, *_ in events:
            self._click(number, kind)
        return [unknown]

    def _click(self, number: int, kind: str) -> None:
        line = self._lines.get(number)
        if kind == "clicked" and line is not None and line.action is not None and line.enabled:
            line.action()
