"""The tray's menu as a value: what stands in it and what each entry does. Pure.

Nothing here grants anything: *Review…* opens the window, *Deny*, *Done* and *That was not me* only
take away, *Borrow…* and *Extend* ask (abuse case A54).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from borrow.tray.picture import left_of, without_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from borrow.tray.snapshot import Ask, Grant, Snapshot, Waiting

EVENTS: Final = 10  # shown
ROLES: Final = 20  # in the menu; the window lists all


@dataclass(frozen=True, slots=True)
class Review:
    request: str


@dataclass(frozen=True, slots=True)
class Deny:
    request: str


@dataclass(frozen=True, slots=True)
class Give:
    """Back, before its end."""

    grant: str


@dataclass(frozen=True, slots=True)
class Extend:
    grant: str
    role: str


@dataclass(frozen=True, slots=True)
class Borrow:
    """Open the window that asks for `role`; with "" it lists them all."""

    role: str = ""


@dataclass(frozen=True, slots=True)
class Withdraw:
    request: str


@dataclass(frozen=True, slots=True)
class NotMe:
    subject: str


@dataclass(frozen=True, slots=True)
class Pause:
    on: bool


@dataclass(frozen=True, slots=True)
class StartDaemon:
    pass


@dataclass(frozen=True, slots=True)
class Quit:
    pass


Action = Review | Deny | Give | Extend | Borrow | Withdraw | NotMe | Pause | StartDaemon | Quit


@dataclass(frozen=True, slots=True)
class Entry:
    """One line; without action and children it is a heading. `text` "" is a separator.

    `key` says which line it is while its words count down; "" for one whose words stay.
    """

    text: str
    action: Action | None = None
    children: tuple[Entry, ...] = ()
    checked: bool | None = None
    key: str = ""


SEPARATOR: Final = Entry("")


def menu(
    known: Snapshot,
    roles: Sequence[str],
    now: float,
    *,
    paused: bool = False,
    clock: Callable[[float], str] = lambda at: "",
) -> tuple[Entry, ...]:
    """`clock` says when something was, as the person's clock shows it."""
    parts = [
        list(_waiting(known, now)),
        list(_grants(known, now)),
        list(_asks(known)),
        list(_borrow(known, roles)),
        list(_events(known, clock)),
        list(_end(known, paused=paused)),
    ]
    out: list[Entry] = []
    for part in parts:
        if part:
            out += [*([SEPARATOR] if out else []), *part]
    return tuple(out)


def default_action(known: Snapshot) -> Action:
    """A left click: what waits for this person first, else the window that asks."""
    if not known.connected:
        return StartDaemon()
    others = [each for each in known.waiting if not each.mine] or list(known.waiting)
    if others:
        return Review(others[0].request)
    needed = [ask.role for ask in known.asks if ask.needs]
    return Borrow(needed[0] if needed else "")


def _waiting(known: Snapshot, now: float) -> Iterator[Entry]:
    for each in known.waiting:
        yield Entry(
            waiting_line(each, now),
            key=each.request,
            children=(
                Entry("Review…", Review(each.request)),
                Entry("Deny", Deny(each.request)),
                *((Entry("That was not me", NotMe(each.request)),) if each.mine else ()),
            ),
        )


def waiting_line(each: Waiting, now: float) -> str:
    who = "Your request" if each.mine else each.person
    left = f" · {left_of(each.expires_at - now)} left" if each.expires_at else ""
    return f"{who}: {each.role}{left}" + (f" · {each.half}" if each.half else "")


def _grants(known: Snapshot, now: float) -> Iterator[Entry]:
    for grant in known.grants:
        if grant.expires_at > now:
            yield Entry(_grant_line(grant, now), key=grant.grant, children=_of_grant(grant))


def _grant_line(grant: Grant, now: float) -> str:
    soon = " · ends soon" if grant.ends_soon else ""
    return f"{grant.role} · {left_of(grant.expires_at - now)} left{soon}"


def _of_grant(grant: Grant) -> tuple[Entry, ...]:
    return (
        Entry("Done", Give(grant.grant)),
        Entry("Extend…", Extend(grant.grant, grant.role)),
        Entry("That was not me", NotMe(grant.grant)),
    )


def _asks(known: Snapshot) -> Iterator[Entry]:
    listed = {each.request for each in known.waiting}
    for ask in known.asks:
        if ask.needs:
            wanted = " and ".join(f"a {name}" for name in ask.needs)
            yield Entry(f"{ask.role} needs {wanted}…", Borrow(ask.role))
        elif ask.request and ask.request not in listed:
            yield Entry(
                _ask_line(ask),
                key=ask.request,
                children=(
                    Entry("Withdraw", Withdraw(ask.request)),
                    Entry("That was not me", NotMe(ask.request)),
                ),
            )


def _ask_line(ask: Ask) -> str:
    whom = ask.people[0] if ask.people else "the approvers"
    more = f" and {len(ask.people) - 1} more" if len(ask.people) > 1 else ""
    number = f" · number {ask.number}" if ask.number and (ask.mode != "self" or ask.typed) else ""
    return f"{ask.role} waits for {'you' if ask.mode == 'self' else whom + more}{number}"


def _borrow(known: Snapshot, roles: Sequence[str]) -> Iterator[Entry]:
    if not (known.connected and known.enrolled):
        return
    listed = tuple(Entry(role, Borrow(role)) for role in recent_first(known, roles)[:ROLES])
    more = (Entry("All roles…", Borrow()),) if len(roles) > ROLES or not roles else ()
    yield Entry("Borrow…", children=(*listed, *more))


def recent_first(known: Snapshot, roles: Sequence[str]) -> list[str]:
    """What was held, asked for or told of lately comes first, the latest at the top."""
    lately = [
        *(grant.role for grant in known.grants),
        *(ask.role for ask in known.asks),
        *(notice.role for notice in reversed(known.notices)),
    ]
    return list(dict.fromkeys([*(role for role in lately if role in roles), *roles]))


def _events(known: Snapshot, clock: Callable[[float], str]) -> Iterator[Entry]:
    latest = known.notices[: -EVENTS - 1 : -1]
    if latest:
        children = tuple(
            Entry(
                f"{clock(notice.at)}  {without_end(notice.text)}".strip(),
                key=f"{notice.subject} {notice.at}",
                children=(Entry("That was not me", NotMe(notice.subject)),)
                if notice.subject.startswith(("r-", "g-"))
                else (),
            )
            for notice in latest
            if notice.text
        )
        yield Entry("Lately", children=children)


def _end(known: Snapshot, *, paused: bool) -> Iterator[Entry]:
    if known.connected:
        yield Entry("Pause prompts for an hour", Pause(not paused), checked=paused)
    else:
        yield Entry("Start Borrow", StartDaemon())
    yield Entry("Quit the tray", Quit())
