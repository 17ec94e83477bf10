"""What a change means in words, and who is told: pure, for `notices` to send.

Everything in a text that a client or a person typed goes through `protocol.text.shown`. The three
digits never appear here: a notice can be read on the wrong screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.approver.outbox import Letter
from borrow.approver.skew import stamp
from borrow.protocol.durations import show_duration
from borrow.protocol.events import NOTICE, SESSION_REVOKED
from borrow.protocol.halves import read_halves, sentence
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from borrow.minter.port import Change, RequestView

ASKED: Final = "request_asked"  # ours: the minter reports changes, and asking is an answer
HALF: Final = "request_half"
OVER: Final = frozenset({"grant_expired", "grant_released", "grant_revoked"})
STOPPED: Final = frozenset({"device_frozen", "device_removed"})
# A session ends here for a reason its device does not know yet (CAEP).
REVOKES: Final = STOPPED | {"grant_revoked"}
# Administrators hear of these too, whoever they concern.
ALARMS: Final = REVOKES

_TEXT: Final = {
    "request_denied": "{role} for {person} was denied",
    "request_expired": "nobody answered {person}'s request for {role} in time",
    "request_lapsed": "{person}'s approved request for {role} was not used in time",
    "request_cancelled": "{person}'s request for {role} was cancelled",
    "request_half": "half a yes to {role}: ",
    "request_revoked": "{person}'s request for {role} was revoked",
    "grant_opened": "{person} may use {role} now",
    "grant_resumed": "{person} goes on using {role}",
    "grant_expired": "{person}'s use of {role} is over",
    "grant_released": "{person} gave {role} back",
    "grant_revoked": "{person}'s use of {role} was revoked",
    "device_frozen": "a device of {person} was frozen",
    "device_unfrozen": "a device of {person} may work again",
    "device_removed": "a device of {person} was removed: its invitation was used twice",
    "device_added": "a device of {person} joined",
    "totp_active": "{person} has new one-time codes",
    "passkey_added": "{person} has a new passkey",
    "passkey_removed": "a passkey of {person} was removed",
}


def notice(change: Change, now: float) -> dict[str, Any]:
    """The members of the event `urn:borrow:event:notice` for this change."""
    sort, _, name = change.subject.partition(":")
    details: dict[str, Any] = {
        "kind": change.kind,
        "role": change.role,
        "person": change.person,
        "text": _sentence(change),
        "at": int(now),
    }
    if sort in ("request", "grant", "device"):
        details[sort] = name
    if sort in ("request", "grant"):
        details["hint"] = f"borrow not-me {name}"
    if change.kind == HALF:  # the asker's own "not me" is no answer of whoever was asked
        details["hint"] = f"borrow approve {name}, or if it was not you: borrow deny {name}"
    for member in ("request", "grant"):
        other = change.details.get(member)
        if isinstance(other, str) and other:
            details.setdefault(member, other)
    return details


def letters_for(
    change: Change,
    *,
    owners: Iterable[str],
    admins: Iterable[str],
    webhooks: Iterable[str],
    now: float,
) -> list[Letter]:
    """`owners` and `admins` are client_ids of active devices; each is told once."""
    details = notice(change, now)
    told = dict.fromkeys(owners)
    if change.kind in ALARMS:
        told |= dict.fromkeys(admins)
    out = [Letter(each, NOTICE, change.subject, details) for each in told]
    out += [Letter(url, NOTICE, change.subject, details, channel="webhook") for url in webhooks]
    if change.kind in REVOKES:
        caep = {"event_timestamp": int(now), "reason_user": {"en": details["text"]}}
        out.insert(0, Letter(change.client_id, SESSION_REVOKED, change.subject, caep))
    return out


def asked_letters(
    view: RequestView, *, devices: Iterable[str], webhooks: Iterable[str], now: float
) -> list[Letter]:
    """To those who may answer `view`."""
    seconds = show_duration(view.role.seconds) if view.role.seconds else "the longest time allowed"
    text = f"{_plain(view.person)} asks for {_plain(view.role.identifier)} for {seconds}"
    if view.role.justification:
        text += f": {shown(view.role.justification, 120)}"
    details = {
        "kind": ASKED,
        "role": view.role.identifier,
        "person": view.person,
        "request": view.request_id,
        "text": text,
        "at": int(now),
        "until": int(view.pending_until),
        "hint": "borrow inbox",
    }
    subject = f"request:{view.request_id}"
    out = [Letter(each, NOTICE, subject, details) for each in dict.fromkeys(devices)]
    return out + [Letter(url, NOTICE, subject, details, channel="webhook") for url in webhooks]


def _sentence(change: Change) -> str:
    pattern = _TEXT.get(change.kind, "{person}: {kind}")
    text = pattern.format(
        person=_plain(change.person), role=_plain(change.role), kind=_plain(change.kind)
    )
    if change.kind == HALF:
        return text + sentence(read_halves([change.details | {"person": change.person}])[0])
    until, by, reason = (change.details.get(name) for name in ("expires_at", "by", "reason"))
    if change.kind == "grant_opened" and isinstance(until, int | float):
        text += f" until {stamp(until)}"
    if isinstance(by, str) and by and by != change.person:
        text += f" by {_plain(by)}"
    if isinstance(reason, str) and reason:
        text += f": {shown(reason, 120)}"
    return text


def _plain(name: str) -> str:
    return shown(name, 80)
