"""Read `[[test]]`: a question and what its author expects as the answer."""

from __future__ import annotations

from borrow.policy.model import REFUSALS, Ask, Expect, Mode, PolicyTest
from borrow.policy.people import canonical
from borrow.policy.rules import LONGEST_GRANT
from borrow.policy.table import Table, names

VIAS = ("cli", "container", "imds", "process", "tray")
FIELDS = ("reason", "ticket")

_ASK_KEYS = ("user", "role", "for", "via", "agent", "spent")
_ASK_LATER = {"oncall": "schedules come with mode oncall"}
_EXPECT_KEYS = ("rule", "mode", "refused", "needs", "not_by")
_NEEDS = 'field names, such as ["reason"], or approvals, such as [["group:sec", 1]]'


def read_tests(table: Table) -> tuple[PolicyTest, ...]:
    return tuple(
        _read_test(stanza, number) for number, stanza in enumerate(table.tables("test"), start=1)
    )


def _read_test(stanza: Table, number: int) -> PolicyTest:
    stanza.only(("ask", "expect"))
    ask, expect = stanza.table("ask"), stanza.table("expect")
    return PolicyTest(number, _read_ask(ask), _read_expect(expect), stanza.line)


def _read_ask(table: Table) -> Ask:
    table.only(_ASK_KEYS, _ASK_LATER)
    spent = table.table("spent")
    return Ask(
        user=canonical(table.text("user")),
        role=table.text("role"),
        seconds=table.seconds("for", 0, LONGEST_GRANT, 0),
        via=table.choice("via", VIAS, "cli"),
        agent="an agent" if table.flag("agent", default=False) else "",
        spent={rule: spent.integer(rule, 0, 1_000_000) for rule in spent},
    )


def _read_expect(table: Table) -> Expect:
    table.only(_EXPECT_KEYS)
    if not list(table):
        raise table.bad(
            "", f"{table.label} expects nothing", f"allowed here: {names(_EXPECT_KEYS)}"
        )
    refused = _read_refused(table) if "refused" in table else None
    if refused:
        for key in ("mode", "needs"):
            if key in table:
                raise table.bad(key, "{} cannot be met by a refusal", "drop it, or drop refused")
    fields, stages = _read_needs(table) if "needs" in table else (None, None)
    return Expect(
        rule=table.text("rule") if "rule" in table else None,
        mode=table.member("mode", Mode) if "mode" in table else None,
        refused=refused,
        fields=fields,
        stages=stages,
        not_by=tuple(map(canonical, table.texts("not_by", default=()))),
    )


def _read_refused(table: Table) -> bool | str:
    """`true` for any refusal, or the word of one."""
    if table.is_text("refused"):
        return table.choice("refused", REFUSALS)
    return table.flag("refused", default=False)


def _read_needs(
    table: Table,
) -> tuple[tuple[str, ...] | None, tuple[tuple[tuple[str, ...], int], ...] | None]:
    """`needs` as the fields a person must fill in, or else as the approvals asked for."""
    items = table.items("needs")
    if all(isinstance(item, str) for item in items):
        fields = table.texts("needs")
        for field in fields:
            if field not in FIELDS:
                raise table.wrong("needs", field, f"{names(FIELDS)} for fields")
        return fields, None
    return None, tuple(_stage(table, item) for item in items)


def _stage(table: Table, item: object) -> tuple[tuple[str, ...], int]:
    """`["group:a", "ann@example.com", 1]`: one of these."""
    match item:
        case [*who, int(count)] if who and count >= 1 and not isinstance(count, bool):
            people = tuple(entry for entry in who if isinstance(entry, str))
            if len(people) == len(who):
                return people, count
    raise table.wrong("needs", item, _NEEDS)
