"""`borrow ask`: request a role before it is needed, and wait for the answer if wanted.

Ctrl-C ends the waiting and not the request: it stays open until it is answered or runs out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import errors, say
from borrow.cli.errors import error_json
from borrow.cli.options import (
    ask_for,
    duration,
    json_option,
    needed_options,
    role_argument,
)
from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)

if TYPE_CHECKING:
    from borrow.cli.client import Control
    from borrow.cli.waiting import Waiting

TICK = 1.0  # seconds between two redrawings of the countdown


@click.command()
@role_argument
@click.option("--for", "seconds", callback=duration, help="How long, such as 30m or 2h.")
@click.option("-m", "--reason", default="", help="Why, for those who decide and for the log.")
@click.option("--ticket", default="", help="Ticket, where the role's rule wants one.")
@click.option("--wait", is_flag=True, help="Wait for the answer.")
@json_option
def ask(role: str, *, seconds: int, reason: str, ticket: str, wait: bool, as_json: bool) -> int:
    """Ask for a role, before you need it.

    Exit code 0: granted, or asked without --wait; 3: refused; 4: nobody answered; 130:
    interrupted, the request stays open.
    """
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    client = running(open_home())
    body: dict[str, Any] = {"role": role, "wait": wait}
    body |= {"seconds": seconds} if seconds else {}
    body |= {name: value for name, value in (("reason", reason), ("ticket", ticket)) if value}
    return converse(client, "/v1/ask", body, line=f"borrow ask {role}", as_json=as_json)


def converse(client: Control, path: str, body: dict[str, Any], *, line: str, as_json: bool) -> int:
    """One question from asking to the exit code; what its rule needs first is asked here, once.

    `line` is the command that asks it, for hints.
    """
    role = str(body["role"])
    asking = Asking(client, path, role, wait=bool(body["wait"]), as_json=as_json)
    try:
        try:
            return asking.run(body)
        except Needs as exc:
            body = body | ask_for(exc, without=f"{line} {needed_options(exc.fields)}")
        return asking.run(body)
    except Needs as exc:
        exc.hint = exc.hint or f"{line} {needed_options(exc.fields)}"
        raise
    except Refused as exc:
        from borrow.cli.catalogue import with_suggestions

        raise with_suggestions(exc, role, client, line.replace(role, "{}", 1)) from exc


class Asking:
    """One call of `/v1/ask` or `/v1/extend`, from its first event to the exit code."""

    def __init__(self, client: Control, path: str, role: str, *, wait: bool, as_json: bool) -> None:
        from borrow.cli.waiting import Line, Waiting

        self._client = client
        self._path = path
        self._wait = wait
        self._as_json = as_json
        self._line = Line()
        self._waiting: Waiting = Waiting(role)
        self._told_head = False
        self._reason = ""

    def run(self, body: dict[str, Any]) -> int:
        self._reason = str(body.get("reason", ""))
        yes = False
        try:
            for event in self._client.stream(self._path, body).events(TICK):
                if event is None:
                    self._redraw()
                    continue
                done = self._on(event)
                if done is not None:
                    yes = done == errors.OK and self._wait
                    self._line.end(yes=yes)
                    self._result(event)
                    return done
        except KeyboardInterrupt:
            self._line.end(yes=False)
            return self._interrupted()
        except BorrowError:
            self._line.end(yes=False)
            raise
        self._line.end(yes=False)
        raise Unavailable(
            "the daemon broke off", hint=f"`borrow ask {self._waiting.role} --wait` joins it again"
        )

    def _on(self, event: dict[str, Any]) -> int | None:
        """The exit code if `event` is the last one; raises what it says went wrong."""
        self._waiting = self._waiting.told(event)
        match event.get("event"):
            case "waiting" | "seen":
                self._tell_joined(event)
                if not self._wait:
                    return errors.OK
                self._head()
                self._redraw()
                return None
            case "granted":
                return errors.OK
            case "unavailable" if self._wait:
                self._head()
                self._redraw()
                return None
            case "needs" | "refused" | "unavailable":
                raise error_of_event(event)
            case _:
                return None  # a newer daemon's event: nothing we need to know

    def _head(self) -> None:
        if self._told_head:
            return
        self._told_head = True
        say.note(say.bold(self._waiting.head()))
        if todo := self._waiting.what_to_do():
            say.note(say.bold(todo))

    def _tell_joined(self, event: dict[str, Any]) -> None:
        """An open question keeps its reason: say so, or a person relies on the new one."""
        if not self._reason or event.get("reason", self._reason) == self._reason:
            return
        self._reason = ""  # told once
        request, role = self._waiting.request, self._waiting.role
        say.note(f"joined {request}, which was asked before: your reason is not shown there")
        say.note(f"to ask anew with it: borrow return {request}, then borrow ask {role} -m …")

    def _redraw(self) -> None:
        if self._told_head:
            self._line.show(self._waiting, _now())

    def _result(self, event: dict[str, Any]) -> None:
        if self._as_json:
            say.document(event)
            return
        waiting = self._waiting
        if event.get("event") == "granted":
            until = say.number_of(event.get("expires_at"))
            ends = f" for {say.left(until - _now())}" if until else ""
            grant = say.text_of(event.get("grant"))
            say.line(f"granted: {waiting.role}{ends}" + (f" ({grant})" if grant else ""))
            say.note(f"use it: borrow run {waiting.role} -- COMMAND")
            return
        say.line(waiting.head())
        if todo := waiting.what_to_do():
            say.line(todo)
        if waiting.mode == "self" and waiting.request and waiting.can_be_given_here():
            say.note(f"say yes: borrow approve {waiting.request}")
        say.note(f"wait for it: borrow ask {waiting.role} --wait")

    def _interrupted(self) -> int:
        waiting = self._waiting
        known = f"the request for {waiting.role} stays open"
        say.note(
            known if waiting.request else f"{known}, if it was asked already; `borrow` shows it"
        )
        if waiting.request:
            say.note(f"wait on: borrow ask {waiting.role} --wait")
            say.note(f"drop it: borrow return {waiting.request}")
        if self._as_json:
            error = Unavailable("interrupted; the request stays open", state="interrupted")
            say.document(error_json(error) | {"request": waiting.request})
        return errors.INTERRUPTED


def error_of_event(event: dict[str, Any]) -> BorrowError:
    """What an event that ends the asking means."""
    told = event.get("error")
    inner: dict[str, Any] = told if isinstance(told, dict) else event
    message = str(inner.get("message") or "")
    hint, state = str(inner.get("hint") or ""), str(inner.get("state") or "")
    request = str(event.get("request") or inner.get("request") or "")
    match event.get("event"):
        case "needs":
            fields = inner.get("fields") or inner.get("needs")
            if not isinstance(fields, dict) or not fields:
                return Untrusted("the daemon wants more and does not say what")
            named = {str(name): str(rule) for name, rule in fields.items()}
            wanted = " and ".join(f"a {name} ({rule})" for name, rule in named.items())
            message = message or f"{inner.get('role', 'the role')} needs {wanted}"
            return Needs(message, fields=named, hint=hint)
        case "unavailable":
            message = message or "the approver cannot be reached"
            return Unavailable(message, hint=hint, state=state)
        case _ if inner.get("unavailable") is True:
            return Unavailable(message or "not now", hint=hint or "ask again", state=state)
        case _ if state in ("expired", "expired_token", "lapsed"):
            message = message or "nobody answered in time"
            return Unavailable(message, hint=hint or "ask again", state=state)
        case _ if event.get("kind") == Unavailable.code:
            return Unavailable(message or "no answer", hint=hint, state=state)
        case _ if event.get("kind") == Misconfigured.code:
            return Misconfigured(message or "something is set up wrongly", hint=hint, state=state)
        case _ if event.get("kind") == Untrusted.code:
            return Untrusted(message or "the answer is not to be trusted", hint=hint, state=state)
        case _:
            return Refused(message or "refused", hint=hint, state=state, request=request)


def _now() -> float:
    return time.time()  # noqa: TID251  the edge: a countdown for eyes only
