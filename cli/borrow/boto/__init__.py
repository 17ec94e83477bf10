"""`borrow.boto`: a call that AWS denied under the base role is asked for, and made again itself.

Opt in with two lines, before the first client is made::

    import borrow.boto
    borrow.boto.install(session)  # a boto3.Session or a botocore session

A role whose rule wants a reason or a ticket gets them from `install(session, reason=…, ticket=…)`.

On AccessDenied the daemon is asked for the elevation whose role allows the call. The call waits; on
a yes it is signed anew with the elevated credentials and sent once more, on a no its own error is
raised with the reason added. Any other error is none of its business.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from borrow.cli.client import Control

logger = logging.getLogger(__name__)

_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_TRIED: Final = "borrow_elevation_tried"
_TICK: Final = 1.0  # seconds between two looks whether the daemon still lives
_HOOK_ID: Final = "borrow-elevation"


def install(session: Any, *, reason: str = "", ticket: str = "") -> None:
    """Hook into every client that `session` makes from now on; a second time changes nothing."""
    events = getattr(session, "events", None) or session.get_component("event_emitter")
    hook = functools.partial(_on_answer, {"reason": reason, "ticket": ticket})
    events.register("needs-retry", hook, unique_id=_HOOK_ID)


def _on_answer(
    why: dict[str, str],
    response: tuple[Any, dict[str, Any]] | None = None,
    operation: Any = None,
    request_dict: dict[str, Any] | None = None,
    **_: Any,
) -> int | None:
    """botocore's question whether to send again: 0 seconds from now, or None for no."""
    role = os.environ.get("BORROW_ROLE", "")
    if response is None or request_dict is None or not role:
        return None
    error = response[1].get("Error", {})
    context = request_dict.setdefault("context", {})
    if error.get("Code") not in _DENIED or context.get(_TRIED):
        return None
    context[_TRIED] = True
    service = operation.service_model
    names = {getattr(service, "signing_name", ""), getattr(service, "endpoint_prefix", "")}
    actions = sorted(f"{name}:{operation.name}" for name in names if name)
    reason = elevate(role, actions, **why)
    if not reason:
        return 0
    error["Message"] = f"{error.get('Message', '')} (borrow: {reason})".strip()
    return None


def elevate(role: str, actions: list[str], *, reason: str = "", ticket: str = "") -> str:
    """Ask the daemon and wait; "" on a yes, else why not."""
    from borrow.protocol.errors import BorrowError

    try:
        return _ask(_control(), role, actions, reason, ticket)
    except BorrowError as exc:
        logger.info("no elevation", extra={"why": exc.state})
        return exc.message


def _control() -> Control:
    from borrow.cli.home import open_home
    from borrow.cli.launch import control

    return control(open_home())


def _ask(client: Control, role: str, actions: list[str], reason: str, ticket: str) -> str:
    last: dict[str, Any] = {}
    given = {"reason": reason, "ticket": ticket}
    body = {"role": role, "actions": actions} | {k: text for k, text in given.items() if text}
    with contextlib.closing(client.stream("/v1/elevate", body)) as stream:
        for event in stream.events(_TICK):
            last = event or last
    if last.get("event") == "granted":
        return ""
    request = f" ({last['request']})" if last.get("request") else ""
    return str(last.get("message") or "the daemon gave no answer") + request
