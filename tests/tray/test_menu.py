from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.tray import menu as menus
from borrow.tray.menu import default_action, menu, recent_first
from borrow.tray.snapshot import Snapshot
from borrow_fakes.tray_states import NOW, ask, decision, grant, notice, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FULL = snapshot(
    grants=[grant()],
    asks=[ask("r-2"), ask("", "ops", needs={"reason": "why"})],
    decisions=[decision("r-1"), decision("r-3", mine=True)],
    notices=[notice()],
)


def leaves(entries: Iterable[menus.Entry]) -> Iterator[menus.Entry]:
    for entry in entries:
        yield from leaves(entry.children) if entry.children else (entry,)


def texts(entries: Iterable[menus.Entry]) -> list[str]:
    return [entry.text for entry in entries if entry.text]


def test_what_waits_for_this_person_is_first() -> None:
    shown = menu(FULL, ["dev", "prod"], NOW)
    assert texts(shown) == [
        "ann@example.com: prod · 15m left",
        "Your request: prod · 15m left",
        "dev · 1h left",
        "prod waits for bo@example.com · number 281",
        "ops needs a reason…",
        "Borrow…",
        "Lately",
        "Pause prompts for an hour",
        "Quit the tray",
    ]
    assert texts(shown[0].children) == ["Review…", "Deny"]
    assert texts(shown[1].children) == ["Review…", "Deny", "That was not me"]
    assert texts(shown[3].children) == ["Done", "Extend…", "That was not me"]


def test_half_a_yes_says_what_is_missing_of_it() -> None:
    half = decision("r-1", factors=["device", "passkey"], given=["passkey"])
    assert texts(menu(snapshot(decisions=[half]), [], NOW))[0] == (
        "ann@example.com: prod · 15m left · "
        "you said yes with a passkey; your workstation's yes is missing"
    )


def test_a54_no_entry_says_yes() -> None:
    """Each only opens a window, asks, or takes away."""
    harmless = (
        menus.Review
        | menus.Deny
        | menus.Give
        | menus.Extend
        | menus.Borrow
        | menus.Withdraw
        | menus.NotMe
        | menus.Pause
        | menus.StartDaemon
        | menus.Quit
    )
    for entry in leaves(menu(FULL, ["dev"], NOW)):
        assert entry.action is None or isinstance(entry.action, harmless)
        assert "approve" not in entry.text.lower()


def test_a_countdown_changes_words_and_neither_keys_nor_actions() -> None:
    def steady(entry: menus.Entry) -> object:
        words = "" if entry.key else entry.text
        return entry.key, words, entry.action, tuple(map(steady, entry.children))

    before, after = (menu(FULL, ["dev"], at) for at in (NOW, NOW + 120))
    assert before != after
    assert [*map(steady, before)] == [*map(steady, after)]


def test_roles_of_lately_come_first_and_unknown_ones_not_at_all() -> None:
    known = snapshot(grants=[grant(role="c")], asks=[ask(role="gone")], notices=[notice(role="b")])
    assert recent_first(known, ["a", "b", "c", "d"]) == ["c", "b", "a", "d"]


def test_many_roles_are_listed_in_the_window() -> None:
    (shown,) = (
        entry
        for entry in menu(snapshot(), [f"r{n}" for n in range(50)], NOW)
        if entry.text == "Borrow…"
    )
    assert len(shown.children) == menus.ROLES + 1
    assert shown.children[-1].action == menus.Borrow()


def test_only_what_has_a_request_or_a_grant_can_be_reported() -> None:
    known = snapshot(notices=[notice(), notice("device_added", "device:d-1")])
    (lately,) = (entry for entry in menu(known, [], NOW) if entry.text == "Lately")
    device, granted = lately.children
    assert device.children == ()
    assert granted.children[0].action == menus.NotMe("g-1")


def test_at_most_ten_events_are_listed_the_latest_first() -> None:
    known = snapshot(notices=[notice(text=f"event {n}", at=NOW + n) for n in range(30)])
    (lately,) = (entry for entry in menu(known, [], NOW) if entry.text == "Lately")
    assert texts(lately.children) == [f"event {n}" for n in range(29, 19, -1)]


def test_an_event_has_its_time_and_not_the_end_that_the_icon_counts_down_to() -> None:
    entries = menu(snapshot(notices=[notice()]), [], NOW, clock=lambda at: "08:00")
    (lately,) = (entry for entry in entries if entry.text == "Lately")
    assert texts(lately.children) == ["08:00  ann@example.com may use dev now"]


def test_a_click_on_the_icon_does_what_is_needed_most() -> None:
    assert default_action(Snapshot()) == menus.StartDaemon()
    assert default_action(snapshot()) == menus.Borrow()
    assert default_action(snapshot(asks=[ask("", "ops", needs={"reason": ""})])) == menus.Borrow(
        "ops"
    )
    mine_first = snapshot(decisions=[decision("r-3", mine=True), decision("r-1")])
    assert default_action(mine_first) == menus.Review("r-1")


def test_without_a_daemon_the_menu_starts_it() -> None:
    assert [entry.action for entry in leaves(menu(Snapshot(), ["dev"], NOW)) if entry.text] == [
        menus.StartDaemon(),
        menus.Quit(),
    ]
