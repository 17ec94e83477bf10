from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.tray import quiet
from borrow.tray.quiet import DENY, REVIEW, Memory, plan
from borrow.tray.snapshot import Snapshot
from borrow_fakes.tray_states import NOW, ask, decision, grant, notice, snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence


def started() -> Memory:
    return plan(snapshot(), Memory(), NOW, quiet=False).memory


def keys(bubbles: Sequence[quiet.Bubble]) -> list[str]:
    return [bubble.key for bubble in bubbles]


def waiting(*names: str, **more: Any) -> Snapshot:
    return snapshot(decisions=[decision(name, **more) for name in names])


def test_a_question_is_told_once_and_withdrawn_when_it_is_decided() -> None:
    first = plan(waiting("r-1"), started(), NOW, quiet=False)
    assert keys(first.show) == ["r-1"]
    assert first.show[0].buttons == (REVIEW, DENY)
    again = plan(waiting("r-1"), first.memory, NOW, quiet=False)
    assert (again.show, again.withdraw) == ((), ())
    gone = plan(snapshot(), again.memory, NOW, quiet=False)
    assert gone.withdraw == ("r-1",)


def test_what_a_person_closed_is_not_told_again() -> None:
    first = plan(waiting("r-1"), started(), NOW, quiet=False)
    memory = quiet.closed(first.memory, "r-1")
    assert plan(waiting("r-1"), memory, NOW, quiet=False).show == ()


def test_a_question_says_who_what_and_why_in_three_lines() -> None:
    (bubble,) = plan(waiting("r-1"), started(), NOW, quiet=False).show
    assert bubble.title == "ann@example.com asks for prod"
    assert bubble.lines == ("for 1h · sensitive", "by curl (not verified)", "“fix the queue”")


def test_more_than_three_questions_are_one_and_told_again_when_they_doubled() -> None:
    names = [f"r-{n}" for n in range(9)]
    few = plan(waiting(*names[:3]), started(), NOW, quiet=False)
    assert len(few.show) == 3
    many = plan(waiting(*names[:4]), few.memory, NOW, quiet=False)
    assert [bubble.title for bubble in many.show] == ["4 or more requests wait for you"]
    assert many.show[0].buttons == (REVIEW,)
    assert many.withdraw == ("r-0", "r-1", "r-2")
    more = plan(waiting(*names[:7]), many.memory, NOW, quiet=False)
    assert more.show == ()
    doubled = plan(waiting(*names[:8]), more.memory, NOW, quiet=False)
    assert [bubble.title for bubble in doubled.show] == ["8 or more requests wait for you"]
    assert doubled.withdraw == ("many:4",)


def test_after_two_ignored_questions_of_a_role_the_badge_alone_tells() -> None:
    memory = started()
    for name in ("r-1", "r-2"):
        memory = plan(waiting(name), memory, NOW, quiet=False).memory
        memory = plan(snapshot(), memory, NOW + 900, quiet=False).memory
    third = plan(waiting("r-3"), memory, NOW, quiet=False)
    assert third.show == ()
    other = plan(waiting("r-4", role="ops"), third.memory, NOW, quiet=False)
    assert keys(other.show) == ["r-4"]
    looked = quiet.answered(third.memory, "r-3")
    assert keys(plan(waiting("r-5"), looked, NOW, quiet=False).show) == ["r-5"]


def test_what_was_decided_in_time_was_not_ignored() -> None:
    memory = started()
    for name in ("r-1", "r-2", "r-3"):
        made = plan(waiting(name), memory, NOW, quiet=False)
        assert keys(made.show) == [name]
        memory = plan(snapshot(), made.memory, NOW + 30, quiet=False).memory


def test_a_lost_daemon_counts_against_nobody() -> None:
    memory = plan(waiting("r-1"), started(), NOW, quiet=False).memory
    memory = plan(Snapshot(), memory, NOW + 900, quiet=False).memory
    assert memory.ignored == {}


def test_while_the_screen_is_locked_nothing_is_shown_and_then_it_is() -> None:
    locked = plan(waiting("r-1"), started(), NOW, quiet=True)
    assert locked.show == ()
    assert keys(plan(waiting("r-1"), locked.memory, NOW, quiet=False).show) == ["r-1"]


def test_what_could_not_be_shown_is_tried_again() -> None:
    first = plan(waiting("r-1"), started(), NOW, quiet=False)
    memory = quiet.unshown(first.memory, "r-1")
    assert keys(plan(waiting("r-1"), memory, NOW, quiet=False).show) == ["r-1"]


def test_old_notices_are_not_news_and_new_ones_pass() -> None:
    memory = plan(snapshot(notices=[notice()]), Memory(), NOW, quiet=False).memory
    later = notice(at=NOW + 60)
    news = plan(snapshot(notices=[notice(), later]), memory, NOW + 60, quiet=False)
    (bubble,) = news.show
    assert bubble.passing
    assert bubble.buttons == ()
    assert bubble.title == "Borrow: a role was lent"
    assert bubble.lines[0] == "ann@example.com may use dev now"


def test_several_that_pass_at_once_are_one() -> None:
    notices = [notice(subject=f"grant:g-{n}", at=NOW + n) for n in range(1, 6)]
    made = plan(snapshot(notices=notices), started(), NOW, quiet=False)
    assert len(made.show) == 1
    assert made.show[0].lines[1].startswith("4 more")
    assert plan(snapshot(notices=notices), made.memory, NOW, quiet=False).show == ()


def test_a_denial_of_somebody_is_no_news() -> None:
    denied = notice("request_denied", "request:r-1", at=NOW + 60)
    assert plan(snapshot(notices=[denied]), started(), NOW, quiet=False).show == ()


def test_a_grant_that_ends_soon_and_an_ask_that_lacks_a_reason_are_told() -> None:
    known = snapshot(
        grants=[grant(left=600, extend="borrow extend dev")],
        asks=[ask("", "ops", needs={"reason": "why"})],
    )
    made = plan(known, started(), NOW, quiet=False)
    assert [bubble.title for bubble in made.show] == ["ops needs a reason", "dev ends in 10m"]
    assert made.show[0].buttons == (REVIEW,)
