"""Who is called for what, how loudly, and in which words. Pure.

What leaves the house says nothing: the words are these, whoever asks for whatever. A person who is
called too often stops looking, so calls are counted (POLICY "Behaviour" 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from borrow.approver.channels.handles import Handle
    from borrow.minter.port import Change, RequestView

Kind = Literal["ask", "own", "grant", "alarm", "more", "withdraw", "test"]
Manner = Literal["loud", "quiet", "more", "none"]

QUESTIONS: Final = frozenset({"ask", "own"})  # they are withdrawn once answered
WINDOW: Final = 600.0  # seconds in which one person's calls are counted
MOST_CALLS: Final = 6  # in it; past that one quiet call stands for all that come
MORE_EVERY: Final = 60.0  # seconds between two of those
UNANSWERED: Final = 2  # of one source in a row: the next one makes no noise
REMEMBERED: Final = 3_600.0  # seconds in which those count
NOTICE_SECONDS: Final = 86_400.0  # a notice that nobody took within a day is not sent any more
WITHDRAW_SECONDS: Final = 12 * 3_600.0  # a phone that was off hears within this that it is over
INBOX: Final = "inbox:"

# Theirs whose it is: access appeared, or went, that they may not know of.
_ALARMS: Final = frozenset(
    {"device_added", "device_frozen", "device_unfrozen", "device_removed"}
    | {"grant_revoked", "totp_active", "passkey_added", "passkey_removed"}
)
# A yes that a program on the asking workstation could have given: its person hears elsewhere.
_LOCAL_MODES: Final = frozenset({"auto", "self"})

# Fixed, so that neither the push service, nor ntfy, nor a lock screen learns anything. `sw.js` has
# the same ones.
WORDS: Final[dict[Kind, tuple[str, str]]] = {
    "ask": ("Somebody asks for your yes", "Open it to see who and what."),
    "own": ("Is this you?", "Something asks for access in your name."),
    "grant": ("Access was given in your name", "Not you? Open it and say so."),
    "alarm": ("Something about your access changed", "Open it to see what."),
    "more": ("More requests wait", "Open your inbox."),
    "withdraw": ("Nothing to do any more", "It was answered, or it is over."),
    "test": ("Borrow can reach you here", "This was a test."),
}


@dataclass(frozen=True, slots=True)
class Call:
    """`source` is for counting only. `until` is in unix seconds."""

    person: str
    subject: str
    kind: Kind
    source: str
    until: float


def calls_for_request(view: RequestView) -> tuple[Call, ...]:
    """Those who may answer; in mode self the person themself."""
    if view.mode == "auto":
        return ()
    subject, source = f"request:{view.request_id}", f"{view.person} {view.role.identifier}"
    return tuple(
        Call(each, subject, "own" if each == view.person else "ask", source, view.pending_until)
        for each in dict.fromkeys(view.deciders)
    )


def calls_for_changes(changes: Iterable[Change], now: float) -> tuple[Call, ...]:
    """A grant that nobody else had to agree to, and what touches the person's own access."""
    out = []
    for change in changes:
        local = change.details.get("mode") in _LOCAL_MODES
        source = f"{change.person} {change.role}"
        if change.kind == "grant_opened" and local:
            kind: Kind = "grant"
        elif change.kind in _ALARMS and change.details.get("by") != change.person:
            kind = "alarm"
        elif change.kind in ("device_added", "totp_active", "passkey_added"):
            kind = "alarm"  # also if it was them: a thief would be them
        else:
            continue
        out.append(Call(change.person, change.subject, kind, source, now + NOTICE_SECONDS))
    return tuple(out)


def manner_of(call: Call, past: Sequence[Handle], now: float) -> Manner:
    """`past`: what the same person was called for within `REMEMBERED`, newest first."""
    if call.kind == "alarm":
        return "loud"
    counted = [each for each in past if each.kind in QUESTIONS or each.kind == "grant"]
    if sum(each.called_at > now - WINDOW for each in counted) >= MOST_CALLS:
        lately = any(each.subject == INBOX and each.called_at > now - MORE_EVERY for each in past)
        return "none" if lately else "more"
    if call.kind == "grant":
        return "quiet"
    same = [each for each in counted if each.source == call.source and each.kind in QUESTIONS]
    ignored = [each.outcome == "unanswered" for each in same[:UNANSWERED]]
    return "quiet" if len(ignored) == UNANSWERED and all(ignored) else "loud"
