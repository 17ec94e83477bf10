"""What an agent can do by `borrow mcp`: ask for a role, see what it holds, give it back.

It asks as an agent, whatever it looks like, so the policy's rules for agents hold. Nothing here
gives a credential: a command gets those by `borrow run`, as the same caller.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import say
from borrow.cli.errors import default_hint
from borrow.daemon.caller import UNNAMED_AGENT, who_of
from borrow.protocol.errors import BorrowError, Misconfigured, Needs, Refused, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.cli.client import Control

# Seconds: many clients give a tool a minute and then cancel, which would withdraw the question.
WAIT: Final = 45
LONGEST_WAIT: Final = 900
UNASKED: Final = 10.0  # seconds more for a question that is not at the approver yet
TICK: Final = 0.5  # seconds between two looks for a cancellation
TELL_EVERY: Final = 5.0  # seconds between two progress notes while nothing changes

_ROLE: Final = {"type": "string", "description": "the short name of a role, as `status` lists it"}
TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "request_role",
        "title": "Ask for a role",
        "description": "Ask people for a cloud role, instead of looking for keys. A person "
        "decides, which can take minutes; nobody answers faster for being asked again. After a "
        "yes run commands as `borrow run ROLE -- COMMAND`.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "role": _ROLE,
                "reason": {
                    "type": "string",
                    "description": "what you will do with it, for the people who decide",
                    "minLength": 1,
                    "maxLength": 500,
                },
                "ticket": {"type": "string", "maxLength": 100},
                "minutes": {"type": "integer", "minimum": 1, "maximum": 10080},
                "wait_seconds": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": LONGEST_WAIT,
                    "description": f"how long to wait for the answer (default {WAIT})",
                },
            },
            "required": ["role", "reason"],
            "additionalProperties": False,
        },
    },
    {
        "name": "status",
        "title": "What you hold and may ask for",
        "description": "The roles you hold, your open questions, and the roles there are.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "return_role",
        "title": "Give a role back",
        "description": "Give a role back when you are done, or withdraw your open question for it.",
        "inputSchema": {
            "type": "object",
            "properties": {"role": _ROLE},
            "required": ["role"],
            "additionalProperties": False,
        },
    },
)


@dataclass(slots=True)
class Call:
    """One call of a tool. `tell` sends a progress note; `cancelled` is looked at while waiting."""

    arguments: dict[str, Any]
    tell: Callable[[str], None]
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Told:
    """What a tool answers: a text for the model and the same as data."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    is_error: bool = False


class Tools:
    """`connect` gives the daemon's client, started if need be. Thread-safe: it keeps no state but
    the questions that are open, each under its own key."""

    def __init__(self, connect: Callable[[], Control]) -> None:
        self._connect = connect
        self._open: dict[str, str] = {}  # request id to role

    def call(self, name: str, call: Call) -> Told | None:
        """None if the call was cancelled meanwhile."""
        try:
            match name:
                case "request_role":
                    return self._request(call)
                case "status":
                    _arguments(call.arguments, {})
                    return self._status()
                case _:
                    return self._return(call)
        except BorrowError as exc:
            return failed(exc)

    # -- request_role --------------------------------------------------------------------------

    def _request(self, call: Call) -> Told | None:
        given = _arguments(
            call.arguments,
            {"role": str, "reason": str, "ticket": str, "minutes": int, "wait_seconds": int},
            needed=("role", "reason"),
        )
        role, wait = given["role"], given.get("wait_seconds", WAIT)
        if not given["reason"].strip():
            raise Misconfigured("reason is empty", hint="say what you will do with the role")
        if not 0 <= wait <= LONGEST_WAIT or not 1 <= given.get("minutes", 1) <= 10_080:
            raise Misconfigured(
                "minutes or wait_seconds is out of range",
                hint=f"minutes is 1 to 10080, wait_seconds 0 to {LONGEST_WAIT}",
            )
        body: dict[str, Any] = {"role": role, "reason": given["reason"], "wait": True, "agent": 1}
        body |= {"ticket": given["ticket"]} if given.get("ticket") else {}
        body |= {"seconds": given["minutes"] * 60} if "minutes" in given else {}
        return self._follow(self._connect(), body, call, wait)

    def _follow(
        self, client: Control, body: dict[str, Any], call: Call, wait: float
    ) -> Told | None:
        from borrow.cli.asking import error_of_event
        from borrow.cli.waiting import Waiting

        role = str(body["role"])
        waiting, told_at = Waiting(role), 0.0
        until = time.monotonic() + wait
        stream = client.stream("/v1/ask", body)
        try:
            for event in stream.events(TICK):
                kind = event.get("event") if event is not None else ""
                if event is not None:
                    waiting, told_at = waiting.told(event), 0.0
                if kind == "granted" and event is not None:
                    self._open.pop(waiting.request, None)
                    return _granted(role, event)
                if kind in ("refused", "needs") and event is not None:
                    self._open.pop(waiting.request, None)
                    raise _clearer(error_of_event(event))
                if waiting.request:
                    self._open[waiting.request] = role
                if call.cancelled():
                    self.withdraw(waiting.request)
                    return None
                if time.monotonic() >= until + (0 if waiting.request else UNASKED):
                    return _pending(waiting)
                if time.monotonic() - told_at >= TELL_EVERY:
                    told_at = time.monotonic()
                    call.tell(_line(waiting))
        finally:
            stream.close()
        raise Unavailable("the daemon broke off", hint="call request_role again")

    def withdraw(self, request: str) -> None:
        """Take an open question back; whatever becomes of that, it is not ours any more."""
        if self._open.pop(request, None) is None:
            return
        try:
            self._connect().post("/v1/return", {"request": request}, within=5.0)
        except BorrowError:
            return  # answered meanwhile, or the daemon is gone: nobody waits for it here

    def withdraw_all(self) -> None:
        for request in list(self._open):
            self.withdraw(request)

    # -- status, return_role -------------------------------------------------------------------

    def _status(self) -> Told:
        from borrow.cli.catalogue import entries, yes_by

        client = self._connect()
        status = client.get("/v1/status")
        now = time.time()  # noqa: TID251  the edge: how long is left, for the agent
        held: list[dict[str, Any]] = [
            {
                "role": say.text_of(one.get("role")),
                "grant": say.text_of(one.get("grant")),
                "seconds_left": max(0, int(say.number_of(one.get("expires_at")) - now)),
            }
            for one in self._own(status.get("grants"))
        ]
        asks = [
            {"role": role, "request": request}
            for request, role in self._still_open(status.get("asks")).items()
        ]
        roles = [
            {"role": shown(one["name"], 64), "yes_by": shown(yes_by(one), 80)}
            for one in entries(client)[:100]
        ]
        lines = [f"you hold {one['role']} for {say.left(one['seconds_left'])}" for one in held]
        lines += [f"you asked for {one['role']}: a person has not answered yet" for one in asks]
        lines += [] if held or asks else ["you hold nothing"]
        lines += ["roles there are (an agent's request for more than a base needs a person's yes):"]
        lines += [f"  {one['role']}: yes by {one['yes_by']}" for one in roles]
        return Told("\n".join(lines), {"held": held, "asked": asks, "roles": roles})

    def _own(self, grants: object) -> list[dict[str, Any]]:
        """Those of this agent's own group, and not its person's."""
        session, agent = who_of(os.getpid())
        own = (
            f"{session.sid}:{session.leader_start}:{agent or UNNAMED_AGENT}"
            if session is not None
            else "\0"
        )
        listed = grants if isinstance(grants, list) else []
        return [
            one
            for one in listed
            if isinstance(one, dict) and str(one.get("group")).partition(":")[2] == own
        ]

    def _still_open(self, asks: object) -> dict[str, str]:
        listed = asks if isinstance(asks, list) else []
        known = {one.get("request") for one in listed if isinstance(one, dict)}
        return {request: role for request, role in list(self._open.items()) if request in known}

    def _return(self, call: Call) -> Told:
        role = _arguments(call.arguments, {"role": str}, needed=("role",))["role"]
        client = self._connect()
        status = client.get("/v1/status")
        done: list[str] = []
        for one in self._own(status.get("grants")):
            if one.get("role") == role:
                client.post("/v1/return", {"grant": str(one.get("grant"))})
                done.append(say.text_of(one.get("grant")))
        for request, asked in self._still_open(status.get("asks")).items():
            if asked == role:
                self.withdraw(request)
                done.append(request)
        if not done:
            raise Refused(
                f"you do not hold {shown(role, 64)}", hint="status lists what you hold",
                state="not_held",
            )  # fmt: skip
        return Told(f"returned {shown(role, 64)} ({', '.join(done)})", {"returned": done})


def _arguments(
    given: dict[str, Any], known: dict[str, type], *, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`given` if it is what the schema says; Misconfigured in words a model can act on."""
    for name, value in given.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise Misconfigured(
                f"there is no argument {shown(str(name), 40)!r}", hint=f"allowed: {allowed}"
            )
        if not isinstance(value, known[name]) or isinstance(value, bool):
            kind = "text" if known[name] is str else "a whole number"
            raise Misconfigured(f"{name} is not {kind}", hint="look at the tool's schema")
        if isinstance(value, str) and len(value) > 500:
            raise Misconfigured(f"{name} is too long", hint="at most 500 characters")
    for name in needed:
        if not given.get(name):
            raise Misconfigured(f"{name} is missing", hint=f"needed: {', '.join(needed)}")
    return given


def _clearer(error: BorrowError) -> BorrowError:
    """What a rule wants first, as arguments of this tool and not of the command line."""
    if isinstance(error, Needs):
        return Needs(
            error.message,
            fields=error.fields,
            hint=f"call request_role again with {' and '.join(sorted(error.fields))}",
        )
    return error


def _granted(role: str, event: dict[str, Any]) -> Told:
    now = time.time()  # noqa: TID251  the edge: how long is left, for the agent
    left = max(0, int(say.number_of(event.get("expires_at")) - now))
    named, grant = shown(role, 64), say.text_of(event.get("grant"))
    _, agent = who_of(os.getpid())
    how = f"borrow run {'' if agent else '--agent '}{named} -- COMMAND"
    return Told(
        f"granted: {named} for {say.left(left)} ({grant}). Run commands as `{how}`; "
        "call return_role when you are done.",
        {"state": "granted", "role": named, "grant": grant, "seconds_left": left, "run": how},
    )


def _pending(waiting: Any) -> Told:
    told = _line(waiting)
    return Told(
        f"not answered yet: {told}. The question stays open. Call request_role again with the same "
        "arguments to go on waiting; it is not asked twice. Do something else meanwhile.",
        {"state": "pending", "role": waiting.role, "request": waiting.request},
    )


def _line(waiting: Any) -> str:
    head, todo = waiting.head(), waiting.what_to_do()
    now = time.time()  # noqa: TID251  the edge: how long is left, for people
    return "; ".join(part for part in (head, todo, waiting.line(now)) if part)


def failed(error: BorrowError) -> Told:
    hint = error.hint or default_hint(error)
    request = getattr(error, "request", "")
    text = f"{shown(error.message, 600)}. {shown(hint, 600)}"
    data = {"state": error.state, "message": shown(error.message, 600), "hint": shown(hint, 600)}
    return Told(text, data | ({"request": shown(request)} if request else {}), is_error=True)
