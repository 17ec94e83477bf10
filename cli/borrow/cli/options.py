"""Arguments that several commands share: roles, request ids, durations, reasons, `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from borrow.cli import say
from borrow.cli.completing import complete_held, complete_request, complete_role
from borrow.cli.errors import WrongUse
from borrow.protocol.errors import Misconfigured, Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

F = TypeVar("F", bound="Callable[..., Any]")

_QUESTIONS = {"reason": "reason", "ticket": "ticket"}


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> int:
    """A click callback: seconds of `30m`, 0 if it was not given."""
    from borrow.protocol.durations import parse_duration

    if value is None:
        return 0
    try:
        seconds = parse_duration(value)
    except Misconfigured as exc:
        raise WrongUse(exc.message, hint=exc.hint) from exc
    if seconds == 0:
        raise WrongUse("a duration of nothing", hint="write it like 90s, 15m or 4h")
    return seconds


def checked_duration(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A click callback: `30m` as it was written, once it is known to be a duration."""
    duration(ctx, param, value or None)
    return value


def role_argument(function: F) -> F:
    return click.argument("role", shell_complete=complete_role)(function)


def held_argument(function: F) -> F:
    return click.argument("role", metavar="ROLE", shell_complete=complete_held)(function)


def request_argument(function: F) -> F:
    return click.argument("subject", metavar="ID", shell_complete=complete_request)(function)


def maybe_request_argument(function: F) -> F:
    return click.argument("subject", metavar="[ID]", default="", shell_complete=complete_request)(
        function
    )


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(
        function
    )


def needed_options(fields: Iterable[str]) -> str:
    """The options that give `fields`, for a hint: `-m REASON --ticket TICKET`."""
    shapes = {"reason": "-m REASON", "ticket": "--ticket TICKET"}
    return " ".join(shapes[name] for name in fields if name in shapes) or "-m REASON"


def ask_for(needs: Needs, *, without: str) -> dict[str, str]:
    """The missing fields, typed by a person."""
    if not say.can_ask():
        raise Needs(needs.message, fields=needs.fields, hint=without) from None
    answers = {}
    for name, rule in needs.fields.items():
        if name not in _QUESTIONS:
            raise Needs(needs.message, fields=needs.fields, hint="update borrow") from None
        told = f" ({say.text_of(rule)})" if rule else ""
        answers[name] = ""
        while not answers[name]:  # a bare Enter gives nothing; Ctrl-C leaves
            answers[name] = say.ask(f"{_QUESTIONS[name]}{told}", without=without)
    return answers
