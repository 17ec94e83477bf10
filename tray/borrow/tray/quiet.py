"""Which notification is shown, replaced or withdrawn, and when to be quiet. Pure.

One notification a question, at most `MOST` at a time: more become one that counts them. After two
questions of a role that nobody answered here the badge alone tells of the next ones; nothing is
shown while prompts are paused or the screen is locked (it comes when it is unlocked). What is
decided elsewhere is withdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from borrow.protocol.durations import show_duration

if TYPE_CHECKING:
    from borrow.tray.snapshot import Ask, Grant, Snapshot, Waiting

MOST: Final = 3  # questions shown apart
IGNORED: Final = 2  # questions of one role that ran out unanswered, before it goes quiet
MANY: Final = "many"  # the key of the one that counts
ENDS: Final = "ends:"  # a grant's key is ENDS + its id
NEEDS: Final = "needs:"


@dataclass(frozen=True, slots=True)
class Bubble:
    """One notification. Texts are escaped for terminals already, for markup at the adapter.

    `request` is what *Review…* and *Deny* are about; "" leaves only the click on the bubble.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    request: str = ""
    role: str = ""  # of a question of mine that needs something first
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What was shown. `open`: keys on the screen; `told`: keys that need not be shown again."""

    open: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    ignored: dict[str, int] = field(default_factory=dict)  # by role
    asked: dict[str, tuple[str, float]] = field(default_factory=dict)  # request -> role, its end


@dataclass(frozen=True, slots=True)
class Plan:
    show: tuple[Bubble, ...]
    withdraw: tuple[str, ...]
    memory: Memory


def plan(known: Snapshot, memory: Memory, now: float, *, quiet: bool) -> Plan:
    """What to do after `known`; with `quiet` nothing new is shown, and told later."""
    memory = _counted(known, memory, now)
    wanted = {each.key: each for each in _wanted(known, memory, now)}
    gone = tuple(sorted(memory.open - wanted.keys()))
    fresh = () if quiet else tuple(b for key, b in wanted.items() if key not in memory.told)
    shown = frozenset(bubble.key for bubble in fresh)
    return Plan(
        fresh,
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
        asking = [
            Bubble(
                f"{MANY}:{len(asking).bit_length()}",  # told again when they have doubled
                f"{len(asking)} requests wait for you",
                (whose,) if names else (),
                urgent=True,
            )
        ]
    needed = [_needed(ask) for ask in known.asks if ask.needs]
    ending = [_ending(grant, now) for grant in known.grants if grant.ends_soon]
    return [*asking, *needed, *ending]


def _ending(grant: Grant, now: float) -> Bubble:
    left = show_duration(max(60, round((grant.expires_at - now) / 60) * 60))
    line = "Extend it from the tray menu."
    return Bubble(ENDS + grant.grant, f"{grant.role} ends in {left}", (line,))


def _question(each: Waiting) -> Bubble:
    """At most three lines: what, which program, why. What it claims is marked as a claim."""
    lasts = f" for {show_duration(each.seconds)}" if each.seconds else ""
    who = "You ask" if each.mine else f"{each.person} asks"
    by = f"says: {each.program}" if each.program else ""
    agent = f"agent {each.agent}" if each.agent else ""
    lines = (
        f"{each.role}{lasts}" + (f" · {each.tier}" if each.tier else ""),
        " · ".join(part for part in (by, agent) if part),
        f"“{each.reason}”" if each.reason else "",
    )
    return Bubble(
        each.request,
        f"{who} for {each.role}",
        tuple(line for line in lines if line),
        request=each.request,
        urgent=not each.mine,
    )


def _needed(ask: Ask) -> Bubble:
    wanted = " and ".join(f"a {name}" for name in ask.needs)
    by = f"asked by {ask.program}" if ask.program else ""
    return Bubble(
        f"{NEEDS}{ask.role}",
        f"{ask.role} needs {wanted}",
        (by,) if by else (),
        role=ask.role,
        urgent=True,
    )
