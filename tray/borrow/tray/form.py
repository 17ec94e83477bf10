"""What the window asks for and when it is complete. Pure: the window only draws it.

Every text that people or programs wrote is escaped here. `answer` is the approver's side (one's own
request included), `ask` the side of whoever wants a role.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

CHOICES: Final = (900, 3600, 4 * 3600)  # seconds: 15 m, 1 h, 4 h
LINE: Final = 160  # characters of one value: hostile text must not push the buttons off the screen
_DIGITS: Final = {"number": 3, "code": 6}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to type. `secret` is not shown; `least` characters at least."""

    name: str
    label: str
    secret: bool = False
    least: int = 0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """`cannot` says why a yes cannot be said here; a no always can."""

    title: str
    facts: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, str], ...]
    durations: tuple[int, ...]
    fields: tuple[Field, ...]
    expires_at: float = 0.0
    cannot: str = ""
    yes: str = "Approve"
    no: str = "Deny"


def answering(one: Mapping[str, Any]) -> Form:
    """The form for one request, as `/v1/decisions/ID` tells it."""
    mine, mode = one.get("mine") is True, one.get("mode")
    kinds = _texts(one.get("factors"))
    here = {"consent", "totp"} if mine else {"device", "totp"}
    code = "totp" in kinds and not {"consent", "device"} & set(kinds)
    fields = []
    if one.get("match") is True and mode == "self":
        fields.append(Field("number", "Number shown where it was asked"))
    if code:
        fields.append(Field("code", "Code of your authenticator app", secret=True))
    role = _text(one.get("role"))
    can = not kinds or bool(here & set(kinds))
    return Form(
        title=f"Borrow: {'your request' if mine else _text(one.get('person'))} · {role}",
        facts=tuple(_facts(one, mine=mine)),
        claims=tuple(_claims(one)),
        durations=durations(_whole(one.get("seconds"))),
        fields=tuple(fields),
        expires_at=float(_whole(one.get("expires_at"))),
        cannot="" if can else "a yes needs your other device",
    )


def asking(entry: Mapping[str, Any], *, extends: str = "") -> Form:
    """The form that asks for one role of the catalogue, or for more time of a grant."""
    needs = entry.get("needs")
    rules: dict[str, Any] = needs if isinstance(needs, dict) else {}
    reason_rule = _text(rules.get("reason"))
    fields = [Field("reason", "Reason", least=_least(reason_rule), rule=reason_rule)]
    if "ticket" in rules:
        fields.append(Field("ticket", "Ticket", least=1, rule=_text(rules["ticket"])))
    facts = [("role", _text(entry.get("name"))), ("is", _text(entry.get("arn")))]
    facts += [("tier", _text(entry.get("tier"))), ("answered by", _text(entry.get("mode")))]
    facts += [("extends", _text(extends))]
    return Form(
        title=f"Borrow: {'keep' if extends else 'ask for'} {_text(entry.get('name'))}",
        facts=tuple((label, value) for label, value in facts if value),
        claims=(),
        durations=durations(_whole(entry.get("max")) or max(CHOICES)),
        fields=tuple(fields),
        yes="Ask",
        no="",
    )


def problem(form: Form, typed: Mapping[str, str]) -> tuple[str, str]:
    """(field, what is wrong with it) of the first field that is not complete; "" if all are."""
    for field in form.fields:
        value = typed.get(field.name, "").strip()
        digits = _DIGITS.get(field.name)
        if digits and not (len(value) == digits and value.isascii() and value.isdecimal()):
            return field.name, f"{field.label}: {digits} digits"
        if len(value) < field.least:
            wanted = field.rule or f"at least {field.least} characters"
            return field.name, f"{field.label}: {wanted}"
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
    if seconds and seconds < _whole(one.get("seconds")):
        body["seconds"] = seconds
    return body


def durations(most: int) -> tuple[int, ...]:
    """The usual choices below `most`, and `most` itself."""
    if most <= 0:
        return ()
    return (*(each for each in CHOICES if each < most), *((most,) if most > 0 else ()))


def _facts(one: Mapping[str, Any], *, mine: bool) -> list[tuple[str, str]]:
    seconds, denials = _whole(one.get("seconds")), _whole(one.get("earlier_denials"))
    told = [
        ("asked by", _text(one.get("person")) + (" (you)" if mine else "")),
        ("role", _text(one.get("role"))),
        ("is", _text(one.get("arn"))),
        ("account", _text(one.get("account"))),
        ("tier", _text(one.get("tier"))),
        ("asked for", show_duration(seconds) if seconds else ""),
        ("extends", _text(one.get("extends"))),
        ("denied before", f"{denials} times" if denials > 1 else "once" if denials else ""),
        ("number", _text(one.get("number"))),
        ("words", _text(one.get("words"))),
    ]
    return [(label, value) for label, value in told if value]


def _claims(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = one.get("context")
    context: dict[str, Any] = found if isinstance(found, dict) else {}
    told = context.get("process")
    process: dict[str, Any] = told if isinstance(told, dict) else {}
    argv, parents = process.get("argv"), process.get("parents")
    chain = [_parent(each) for each in parents[:6]] if isinstance(parents, list) else []
    claims = [
        ("reason", _text(one.get("justification"))),
        ("ticket", _text(one.get("ticket"))),
        ("agent", _text(context.get("agent"))),
        ("program", _text(process.get("exe"))),
        ("command", _text(" ".join(map(str, argv)) if isinstance(argv, list) else argv)),
        ("started by", " ← ".join(each for each in chain if each)),
        ("in", _text(process.get("cwd"))),
        ("branch", _text(process.get("branch"))),
        ("container", _text(process.get("container"))),
        ("host", _text(context.get("host"))),
    ]
    return [(label, value) for label, value in claims if value]


def _parent(entry: object) -> str:
    if isinstance(entry, dict):
        entry = entry.get("name") or entry.get("exe")
    return shown(entry, 30) if isinstance(entry, str) else ""


def _least(rule: str) -> int:
    """`at least 10 characters` → 10."""
    numbers = [int(word) for word in rule.split() if word.isascii() and word.isdecimal()]
    return min(numbers[0], 500) if numbers else 0


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return shown(value, LINE) if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
