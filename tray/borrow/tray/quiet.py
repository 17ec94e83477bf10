"""Which notification is shown, replaced or withdrawn, and when to be quiet. Pure.

One notification a question, at most `MOST` at a time: more become one that counts them. After two
questions of a role that nobody answered here the badge alone tells of the next ones; nothing is
shown while prompts are paused or the screen is locked (it comes when it is unlocked). What is
decided elsewhere is withdrawn. What was done in the person's name is told in passing, also what a
rule allowed without a question: whoever asked for it may not have been this person.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from borrow.protocol.durations import show_duration
from borrow.tray.picture import without_end

if TYPE_CHECKING:
    from borrow.tray.snapshot import Ask, Grant, Notice, Snapshot, Waiting

MOST: Final = 3  # questions shown apart
IGNORED: Final = 2  # questions of one role that ran out unanswered, before it goes quiet
MANY: Final = "many"  # the key of the one that counts begins so
LATELY: Final = "lately:"  # what was done: the key is this and which notice
ENDS: Final = "ends:"  # a grant's key is ENDS + its id
NEEDS: Final = "needs:"
REVIEW: Final = "review"
DENY: Final = "deny"
LABELS: Final = {REVIEW: "Review…", DENY: "Deny"}
LINES: Final = 3  # of the body; some desktops cut at four
LINE: Final = 120  # characters
ONE_PLACE: Final = "passing"  # the key under which all that passes makes way for the next

# Kinds of notice that are told in passing; the rest stands in the menu.
PASSING: Final = {
    "request_half": "Half a yes was said",
    "grant_opened": "A role was lent",
    "grant_revoked": "A role was taken back",
    "device_frozen": "A device was frozen",
    "device_added": "A device was added",
    "device_removed": "A device was removed",
    "totp_active": "New one-time codes",
}


@dataclass(frozen=True, slots=True)
class Bubble:
    """One notification. Texts are escaped for terminals already, for markup at the adapter.

    `buttons` are among REVIEW and DENY. An urgent one stays until it is answered; one in passing
    is not kept.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    buttons: tuple[str, ...] = ()
    urgent: bool = False
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What was shown. `open`: keys on the screen; `told`: keys that need not be shown again."""

    open: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    ignored: dict[str, int] = field(default_factory=dict)  # by role
    asked: dict[str, tuple[str, float]] = field(default_factory=dict)  # request -> role, its end
    begun: bool = False  # what was there when we came is no news


@dataclass(frozen=True, slots=True)
class Plan:
    show: tuple[Bubble, ...]
    withdraw: tuple[str, ...]
    memory: Memory


def plan(known: Snapshot, memory: Memory, now: float, *, quiet: bool) -> Plan:
    """What to do after `known`; with `quiet` nothing new is shown, and told later."""
    if known.connected and not memory.begun:
        old = frozenset(_passing(each).key for each in known.notices if each.kind in PASSING)
        memory = replace(memory, begun=True, told=memory.told | old)
    memory = _counted(known, memory, now)
    wanted = {each.key: each for each in _wanted(known, memory, now)}
    gone = tuple(sorted(memory.open - wanted.keys()))
    fresh = [] if quiet else [b for key, b in wanted.items() if key not in memory.told]
    shown = frozenset(bubble.key for bubble in fresh)
    return Plan(
        tuple(_together(fresh)),
        gone,
        replace(
            memory,
            open=(memory.open - set(gone)) | shown,
            told=(memory.told & wanted.keys()) | shown,
        ),
    )


def answered(memory: Memory, request: str) -> Memory:
    """Somebody here looked at it or said no: its role is no longer one that nobody answers."""
    role = memory.asked.get(request, ("", 0.0))[0]
    return replace(memory, ignored={k: v for k, v in memory.ignored.items() if k != role})


def closed(memory: Memory, key: str) -> Memory:
    """The person closed it, or the desktop did."""
    return replace(memory, open=memory.open - {key})


def unshown(memory: Memory, key: str) -> Memory:
    """It could not be shown: it is not told yet."""
    return replace(memory, open=memory.open - {key}, told=memory.told - {key})


def _counted(known: Snapshot, memory: Memory, now: float) -> Memory:
    """Questions that ran out unanswered count against their role."""
    here = {each.request: (each.role, each.expires_at) for each in known.waiting}
    if not known.connected or known.trouble:
        return memory  # not gone, but unknown
    ignored = dict(memory.ignored)
    for request, (role, end) in memory.asked.items():
        if request not in here and now >= end - 5:
            ignored[role] = ignored.get(role, 0) + 1
    return replace(memory, ignored=ignored, asked=here)


def _wanted(known: Snapshot, memory: Memory, now: float) -> list[Bubble]:
    asking = [
        _question(each) for each in known.waiting if memory.ignored.get(each.role, 0) < IGNORED
    ]
    if len(asking) > MOST:
        names = sorted({each.person for each in known.waiting if not each.mine})
        whose = f"from {', '.join(names[:2])}" + (" and others" if len(names) > 2 else "")
        at_least = 1 << (len(asking).bit_length() - 1)
        asking = [
            Bubble(
                f"{MANY}:{at_least}",  # told again when they have doubled; the badge is exact
                f"{at_least} or more requests wait for you",
                (whose,) if names else (),
                buttons=(REVIEW,),
                urgent=True,
            )
        ]
    needed = [_needed(ask) for ask in known.asks if ask.needs]
    ending = [_ending(grant, now) for grant in known.grants if grant.ends_soon]
    done = [_passing(each) for each in known.notices if each.kind in PASSING]
    return [*asking, *needed, *ending, *done]


def _passing(notice: Notice) -> Bubble:
    key = f"{LATELY}{notice.kind} {notice.subject} {notice.at:.0f}"
    mine = notice.subject.startswith(("r-", "g-"))
    lines = (
        without_end(notice.text),
        *(("Not you? Open the tray's menu, Lately.",) if mine else ()),
    )
    return Bubble(key, f"Borrow: {PASSING[notice.kind].lower()}", lines, passing=True)


def _together(fresh: list[Bubble]) -> list[Bubble]:
    """Several that pass are one: the latest, and how many more."""
    passing = [bubble for bubble in fresh if bubble.passing]
    if len(passing) < 2:
        return fresh
    last = passing[-1]
    line = f"{len(passing) - 1} more: see the tray's menu, Lately."
    one = replace(last, lines=(last.lines[0], line))
    return [*(bubble for bubble in fresh if not bubble.passing), one]


def _ending(grant: Grant, now: float) -> Bubble:
    left = show_duration(max(60, round((grant.expires_at - now) / 60) * 60))
    line = "Extend it from the tray menu."
    return Bubble(ENDS + grant.grant, f"{grant.role} ends in {left}", (line,))


def _question(each: Waiting) -> Bubble:
    """At most three lines: what, which program, why. What it claims is marked as a claim."""
    who = "You ask" if each.mine else f"{each.person} asks"
    lasts = f"for {show_duration(each.seconds)}" if each.seconds else ""
    agent = f"agent {each.agent}" if each.agent else ""
    by = f"by {each.program} (not verified)" if each.program else ""
    lines = (
        " · ".join(part for part in (lasts, each.tier) if part),
        " · ".join(part for part in (agent, by) if part),
        f"“{each.reason}”" if each.reason else "",
    )
    return Bubble(
        each.request,
        f"{who} for {each.role}",
        tuple(line for line in lines if line),
        buttons=(REVIEW, DENY),
        urgent=not each.mine,
    )


def _needed(ask: Ask) -> Bubble:
    wanted = " and ".join(f"a {name}" for name in ask.needs)
    by = f"asked by {ask.program}" if ask.program else ""
    return Bubble(
        f"{NEEDS}{ask.role}",
        f"{ask.role} needs {wanted}",
        (by,) if by else (),
        buttons=(REVIEW,),
        urgent=True,
    )


def plain(line: str) -> str:
    """In one row, cut to `LINE`."""
    one = " ".join(line.split())
    return one if len(one) <= LINE else one[: LINE - 1] + "…"
