"""Notifications over a real session bus, to a service that keeps what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from borrow.tray.bubbles import Bubbles, body_of
from borrow.tray.quiet import DENY, LINE, LINES, REVIEW, Bubble
from borrow.tray.session_bus import SessionBus
from borrow_fakes.notifyd import Peer, session_bus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUESTION = Bubble("r-1", "ann asks", ("for 1h",), buttons=(REVIEW, DENY), urgent=True)


@dataclass
class Talk:
    """Ours, the notification service, and another program of the same person."""

    bubbles: Bubbles
    desktop: Peer
    other: Peer
    pressed: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def settled(self) -> None:
        """All that was sent before has arrived: the bus keeps the order for each receiver."""
        await self.desktop.call("GetId", "")
        await self.other.call("GetId", "")
        await self.bubbles.show(Bubble("settle", "x", ()))
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def talk() -> AsyncIterator[Talk]:
    async with session_bus() as address:
        desktop, other = await Peer.at(address), await Peer.at(address)
        await desktop.serve_notifications()
        ours = await SessionBus.connect(address)
        pressed: list[tuple[str, str]] = []
        closed: list[str] = []
        bubbles = Bubbles(
            ours,
            on_action=lambda key, action: pressed.append((key, action)),
            on_closed=closed.append,
        )
        await bubbles.start()
        yield Talk(bubbles, desktop, other, pressed, closed)
        for bus in (ours, desktop.bus, other.bus):
            bus.close() if isinstance(bus, SessionBus) else bus.disconnect()


async def test_a_question_has_the_buttons_review_and_deny_and_no_other() -> None:
    async with talk() as here:
        assert await here.bubbles.show(QUESTION)
        (sent,) = here.desktop.named("Notify")
        assert sent[5] == ["review", "Review…", "deny", "Deny"]
        assert sent[6]["urgency"].value == 2


async def test_where_no_buttons_are_drawn_a_click_on_it_reviews() -> None:
    async with talk() as here:
        here.desktop.named_as = "mako"
        await here.bubbles.show(QUESTION)
        await here.bubbles.show(Bubble("ends:g-1", "prod ends in 10m", ("Extend it.",)))
        asked, told = here.desktop.named("Notify")
        assert asked[5][:2] == ["default", "Review…"]
        assert told[5] == []
        await here.desktop.signal("ActionInvoked", "us", 1, "default")
        await here.settled()
        assert here.pressed == [("r-1", "review")]
        assert len(here.desktop.named("GetServerInformation")) == 1


async def test_a_press_reaches_us_with_the_question_it_was_for() -> None:
    async with talk() as here:
        await here.bubbles.show(QUESTION)
        await here.desktop.signal("ActionInvoked", "us", 1, "review")
        await here.desktop.signal("ActionInvoked", "us", 1, "approve")  # there is no such button
        await here.desktop.signal("ActionInvoked", "us", 99, "deny")
        await here.settled()
        assert here.pressed == [("r-1", "review")]


async def test_a55_another_programs_press_is_ignored() -> None:
    """Any program of this person may emit the signal; only the service's own counts."""
    async with talk() as here:
        await here.bubbles.show(QUESTION)
        await here.other.signal("ActionInvoked", "us", 1, "deny")
        await here.other.signal("ActionInvoked", "us", 1, "review")
        await here.other.signal("NotificationClosed", "uu", 1, 2)
        await here.settled()
        assert here.pressed == []
        assert here.closed == []
        await here.desktop.signal("ActionInvoked", "us", 1, "deny")
        await here.settled()
        assert here.pressed == [("r-1", "deny")]


async def test_a55_before_anything_was_shown_no_press_counts() -> None:
    async with talk() as here:
        await here.other.signal("ActionInvoked", "us", 1, "deny")
        await here.settled()
        assert here.pressed == []


async def test_a_new_service_knows_none_of_the_old_ones_questions() -> None:
    async with talk() as here:
        await here.bubbles.show(QUESTION)
        here.desktop.bus.disconnect()
        await here.other.serve_notifications()
        await here.other.signal("ActionInvoked", "us", 1, "deny")
        await here.other.call("GetId", "")
        await here.bubbles.show(Bubble("settle", "x", ()))
        assert here.pressed == []


async def test_the_same_question_again_replaces_and_a_decided_one_is_withdrawn() -> None:
    async with talk() as here:
        await here.bubbles.show(QUESTION)
        await here.bubbles.show(QUESTION)
        assert [sent[1] for sent in here.desktop.named("Notify")] == [0, 1]
        await here.bubbles.withdraw("r-1")
        assert here.desktop.named("CloseNotification") == [[1]]
        await here.bubbles.withdraw("r-1")
        assert len(here.desktop.named("CloseNotification")) == 1


async def test_no_question_stays_whose_buttons_nobody_listens_to() -> None:
    async with talk() as here:
        await here.bubbles.show(QUESTION)
        await here.bubbles.show(Bubble("r-2", "bo asks", (), buttons=(REVIEW, DENY)))
        await here.bubbles.withdraw_all()
        assert here.desktop.named("CloseNotification") == [[1], [2]]


async def test_what_passes_makes_way_for_the_next_that_passes() -> None:
    async with talk() as here:
        for key in ("lately:1", "lately:2"):
            await here.bubbles.show(Bubble(key, "a role was lent", (), passing=True))
        await here.bubbles.show(QUESTION)
        assert [sent[1] for sent in here.desktop.named("Notify")] == [0, 1, 0]
        assert here.desktop.named("Notify")[0][6]["urgency"].value == 0


async def test_where_nothing_shows_notifications_it_says_so() -> None:
    async with session_bus() as address:
        ours = await SessionBus.connect(address)
        bubbles = Bubbles(ours, on_action=lambda key, action: None, on_closed=lambda key: None)
        await bubbles.start()
        assert not await bubbles.show(QUESTION)
        ours.close()


@given(st.lists(st.text(), max_size=6).map(tuple))
def test_a_body_is_at_most_three_lines_and_no_markup(lines: tuple[str, ...]) -> None:
    body = body_of(lines)
    assert len(body.split("\n")) <= LINES
    assert not {"<", ">"} & set(body)
    assert all(len(line) <= LINE * 5 for line in body.split("\n"))  # &amp; is five


def test_markup_is_shown_as_it_was_typed() -> None:
    assert body_of(("fix <b>it</b> & go",)) == "fix &lt;b&gt;it&lt;/b&gt; &amp; go"
