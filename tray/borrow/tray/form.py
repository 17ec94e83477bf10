"""What a prompt shows, asks for, and when it is complete. Pure: window and terminal only draw it.

Every text that people or programs wrote is escaped here, once. `answering` is the side of whoever
is asked (one's own request included), `asking` the side of whoever wants a role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.protocol.halves import given_by_me, read_halves, sentence, so_far
from borrow.protocol.text import shown
from borrow.tray.differences import claimed_then, last_time
from borrow.tray.labels import Pairs, claims, mapping, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

CHOICES: Final = (900, 3600, 4 * 3600)  # seconds: 15 m, 1 h, 4 h
CLAIMED: Final = "What the asking device says (not verified)"
MAX_REASON: Final = 500  # characters, as in borrow.protocol.request
RECENT: Final = 5  # reasons offered again
_PROOFS: Final = {
    "consent": "a click in your own session",
    "device": "this device's signature",
    "totp": "a code of your authenticator app",
    "passkey": "a passkey",
}
_OVER: Final = {
    "approved": "it was approved elsewhere",
    "denied": "it was denied elsewhere",
    "cancelled": "it was withdrawn",
    "expired": "nobody answered in time",
    "lapsed": "nobody collected it in time",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to type: at least `least` characters, or exactly `digits` digits."""

    name: str
    label: str
    secret: bool = False
    least: int = 0
    digits: int = 0
    rule: str = ""
    recent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """`cannot` says why a yes cannot be said here; a no always can."""

    head: str
    facts: Pairs
    fields: tuple[Field, ...]
    durations: tuple[int, ...] = ()
    claims: Pairs = ()
    expires_at: float = 0.0
    cannot: str = ""
    yes: str = "Approve"
    no: str = "Deny"

    @property
    def chosen(self) -> int:
        """The seconds that are offered first: all that was asked for."""
        return self.durations[-1] if self.durations else 0


def answering(one: Mapping[str, Any], now: float) -> Form:
    """The form for one request, as `/v1/decisions/ID` tells it."""
    mine, peer = one.get("mine") is True, one.get("mode") == "peer"
    kinds = texts(one.get("factors"))
    fields = []
    if one.get("match") is True and not peer:
        fields.append(Field("number", "Number shown where it was asked", digits=3))
    if "totp" in kinds and not {"consent", "device"} & set(kinds):
        fields.append(Field("code", "Code of your authenticator app", secret=True, digits=6))
    who = "You ask" if mine else f"{text(one.get('person'))[:60]} asks"
    more = " more time of" if one.get("extends") else ""
    return Form(
        head=f"{who} for{more} {text(one.get('role'))}",
        facts=_facts(one, now, mine=mine),
        fields=tuple(fields),
        durations=durations(whole(one.get("seconds"))),
        claims=(*claims(one), *_said_then(one, mine=mine)),
        expires_at=float(whole(one.get("expires_at"))),
        cannot=_cannot(kinds, mine=mine, peer=peer) or _has_said(one),
    )


def _said_then(one: Mapping[str, Any], *, mine: bool) -> Pairs:
    then = "" if mine else claimed_then(one)
    return (("said then", then),) if then else ()


def _cannot(kinds: tuple[str, ...], *, mine: bool, peer: bool) -> str:
    if mine and peer:
        return "your own request needs another person's yes"
    here = {"consent", "totp"} if mine else {"device", "totp"}
    if not kinds or here & set(kinds):
        return ""
    wanted = " or ".join(_PROOFS.get(kind, shown(kind, 20)) for kind in kinds)
    return f"the rule wants {wanted}, and this computer cannot give it"


def _has_said(one: Mapping[str, Any]) -> str:
    """This computer's half of a yes is there; the other one comes from elsewhere."""
    return so_far(one) if "device" in given_by_me(one) else ""


def _takes(one: Mapping[str, Any]) -> str:
    """What a yes takes, in words; a joint says whether one of it does."""
    kinds = (_PROOFS.get(kind, shown(kind, 20)) for kind in texts(one.get("factors")))
    return (" and " if one.get("every") is True else " or ").join(kinds)


def asking(entry: Mapping[str, Any], *, extends: str = "") -> Form:
    """The form that asks for one role of the catalogue, or for more time of a grant."""
    rules, name = mapping(entry.get("needs")), text(entry.get("name"))
    rule = text(rules.get("reason"))
    recent = tuple(each for each in texts(entry.get("reasons")) if shown(each, MAX_REASON) == each)
    fields = [Field("reason", "Reason", least=_least(rule), rule=rule, recent=recent[:RECENT])]
    if "ticket" in rules:
        fields.append(Field("ticket", "Ticket", least=1, rule=text(rules["ticket"])))
    who = {"auto": "the policy, at once", "self": "you", "peer": "another person"}
    facts = [
        ("role", name),
        ("AWS role", text(entry.get("arn"))),
        ("account", text(entry.get("account"))),
        ("tier", text(entry.get("tier"))),
        ("answered by", who.get(str(entry.get("mode")), text(entry.get("mode")))),
        ("a yes takes", _takes(entry)),
        ("extends", text(extends)),
    ]
    if entry.get("share") == "session" and not extends:
        facts.append(("lent to", "this desktop session; in a terminal: borrow ask " + name))
    return Form(
        head=f"{'Keep' if extends else 'Ask for'} {name}",
        facts=tuple((label, value) for label, value in facts if value),
        fields=tuple(fields),
        durations=durations(whole(entry.get("max")) or max(CHOICES)),
        yes="Ask",
        no="",
    )


def problem(form: Form, typed: Mapping[str, str]) -> tuple[str, str]:
    """(field, what is wrong with it) of the first field that is not complete; "" if all are."""
    for field in form.fields:
        value = typed.get(field.name, "").strip()
        if field.digits and not (
            len(value) == field.digits and value.isascii() and value.isdecimal()
        ):
            return field.name, f"{field.label}: {field.digits} digits"
        if len(value) < field.least:
            return (
                field.name,
                f"{field.label}: {field.rule or f'at least {field.least} characters'}",
            )
        if len(value) > MAX_REASON:
            return field.name, f"{field.label}: at most {MAX_REASON} characters"
    return "", ""


def yes_body(
    form: Form, one: Mapping[str, Any], typed: Mapping[str, str], seconds: int
) -> dict[str, Any]:
    """The body that approves exactly what was shown."""
    body: dict[str, Any] = {"decision": "approve", "request_hash": one.get("request_hash", "")}
    for field in form.fields:
        body[field.name] = typed.get(field.name, "").strip()
    if one.get("match") is True and "number" not in body:
        body["number"] = one.get("number", "")
    if seconds and seconds < whole(one.get("seconds")):
        body["seconds"] = seconds
    return body


def no_body(one: Mapping[str, Any], reason: str) -> dict[str, Any]:
    told = {"decision": "deny", "request_hash": one.get("request_hash", "")}
    return told | ({"reason": reason} if reason else {})


def durations(most: int) -> tuple[int, ...]:
    """The usual choices below `most`, and `most` itself."""
    return (*(each for each in CHOICES if each < most), most) if most > 0 else ()


def faulty(form: Form, state: str) -> str:
    """The field that an answer's error is about, "" if none."""
    about = "number" if state == "number_mismatch" else "code" if state.startswith("otp") else ""
    return about if any(field.name == about for field in form.fields) else ""


def over(state: str) -> str:
    """Why a question ended without us; "" while it is open."""
    return "" if state == "pending" else _OVER.get(state, f"it is {shown(state, 20)} already")


def time_left(expires_at: float, now: float) -> str:
    """`4:05 left`, "" where nothing ends."""
    if not expires_at:
        return ""
    left = max(0, int(expires_at - now))
    return f"{left // 60}:{left % 60:02d} left"


def ended(form: Form, now: float) -> bool:
    return bool(form.expires_at) and now >= form.expires_at


def _facts(one: Mapping[str, Any], now: float, *, mine: bool) -> Pairs:
    seconds, denials = whole(one.get("seconds")), whole(one.get("earlier_denials"))
    number = text(one.get("number"))
    known = [text(one.get("role"))]
    known += [f"{name} {text(one[name])}" for name in ("tier", "account") if one.get(name)]
    rule = text(one.get("rule"))
    told = [
        ("asked by", text(one.get("person")) + (" (you)" if mine else "")),
        ("role", ", ".join(known)),
        ("AWS role", text(one.get("arn"))),
        ("for", show_duration(seconds) + (f", by the rule {rule}" if rule else "")),
        ("extends", text(one.get("extends"))),
        ("a yes takes", _takes(one) if one.get("every") is True else ""),
        ("so far", so_far(one)),
        *(("so far", sentence(each)) for each in read_halves(one.get("halves"))),
        ("last time", "" if mine else last_time(one, now)),
        ("denied before", f"{denials} times in a day" if denials > 1 else "once" * denials),
        ("number", f"{number}, {text(one.get('words'))}: they see the same" if number else ""),
    ]
    return tuple((label, value) for label, value in told if value)


def _least(rule: str) -> int:
    """`at least 10 characters` → 10."""
    numbers = [int(word) for word in rule.split() if word.isascii() and word.isdecimal()]
    return min(numbers[0], MAX_REASON) if numbers else 0
