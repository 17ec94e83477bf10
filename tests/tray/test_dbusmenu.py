"""The menu as a panel gets it, without a bus: `served` answers messages as the bus brings them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, MessageType, Variant

from borrow.tray.dbusmenu import INTERFACE, PATH, Line, Menu


@dataclass
class Host:
    """What a panel knows and does."""

    signals: list[tuple[str, list[Any]]] = field(default_factory=list)
    clicked: list[str] = field(default_factory=list)
    menu: Menu = field(init=False)

    def __post_init__(self) -> None:
        self.menu = Menu(lambda member, signature, *body: self.signals.append((member, [*body])))

    def line(self, text: str, *children: Line, key: str = "", **more: Any) -> Line:
        action = None if children else lambda: self.clicked.append(key or text)
        return Line(text, action, children, key=key, **more)

    def call(self, member: str, signature: str, *body: Any) -> Message:
        message = Message(
            path=PATH, interface=INTERFACE, member=member, signature=signature, body=[*body]
        )
        message.sender, message.serial = ":1.7", 1
        return self.menu.served.answer(message)

    def layout(self) -> list[Any]:
        _, root = self.call("GetLayout", "iias", 0, -1, []).body
        return [each.value for each in root[2]]

    def number(self, text: str) -> int:
        found = [
            n for n, look, _ in self.layout() if "label" in look and look["label"].value == text
        ]
        return int(found[0])

    def click(self, number: int) -> None:
        self.call("Event", "isvu", number, "clicked", Variant("s", ""), 0)


def test_a_click_runs_the_action_of_its_line() -> None:
    host = Host()
    host.menu.set([host.line("Done"), Line(""), host.line("Quit")])
    host.click(host.number("Quit"))
    assert host.clicked == ["Quit"]


def test_a_click_on_a_line_that_has_just_gone_does_nothing() -> None:
    """A press that was meant for one request never answers the next one."""
    host = Host()
    host.menu.set([host.line("ann: prod", key="r-1")])
    number = host.number("ann: prod")
    host.menu.set([host.line("ann: prod", key="r-2")])
    host.click(number)
    assert host.clicked == []
    host.menu.set([host.line("ann: prod", key="r-2"), host.line("ann: prod", key="r-1")])
    host.click(number)
    assert host.clicked == []


def test_a_countdown_changes_words_in_place_and_lays_nothing_out_anew() -> None:
    host = Host()
    host.menu.set([host.line("dev · 10m left", key="g-1"), host.line("Quit")])
    number = host.number("dev · 10m left")
    host.signals.clear()
    for minute in range(9, 0, -1):
        host.menu.set([host.line(f"dev · {minute}m left", key="g-1"), host.line("Quit")])
        assert host.number(f"dev · {minute}m left") == number
    assert [member for member, _ in host.signals] == ["ItemsPropertiesUpdated"] * 9
    ((changed, look),) = host.signals[0][1][0]
    assert (changed, look["label"].value) == (number, "dev · 9m left")


def test_the_same_menu_again_tells_nobody() -> None:
    host = Host()
    host.menu.set([host.line("Quit")])
    host.signals.clear()
    host.menu.set([host.line("Quit")])
    assert host.signals == []


def test_a_new_line_is_laid_out() -> None:
    host = Host()
    host.menu.set([host.line("Quit")])
    host.signals.clear()
    host.menu.set([host.line("dev", host.line("Done"), key="g-1"), host.line("Quit")])
    assert [member for member, _ in host.signals] == ["LayoutUpdated"]


def test_twins_are_two_lines() -> None:
    host = Host()
    host.menu.set([host.line("dev"), host.line("dev")])
    assert len({n for n, _, _ in host.layout()}) == 2


def test_an_underline_is_no_mnemonic_and_a_tick_is_a_tick() -> None:
    host = Host()
    host.menu.set([host.line("a_b"), host.line("Pause", checked=True)])
    named, ticked = (look for _, look, _ in host.layout())
    assert named["label"].value == "a__b"
    assert ticked["toggle-state"].value == 1


def test_nonsense_of_another_program_is_refused() -> None:
    host = Host()
    host.menu.set([host.line("Quit")])
    host.click(999)
    host.call("Event", "isvu", 1, "hovered", Variant("s", ""), 0)
    assert host.clicked == []
    for member, signature, body in (("Event", "s", ["x"]), ("Explode", "", [])):
        assert host.call(member, signature, *body).message_type is MessageType.ERROR
