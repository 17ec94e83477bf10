"""The Model Context Protocol's frame: JSON-RPC 2.0 over lines, read strictly. Pure.

One line is one message. What cannot be read is answered with an error and changes nothing; batches
(which one version of the protocol had) are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import parse_object

MAX_LINE: Final = 64 * 1024  # bytes; our largest request is a reason of a few hundred characters
MAX_ID: Final = 128  # characters of a request's id
# Newest first: what a client asks for and we know is spoken, else the newest is offered.
VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
STRUCTURED_SINCE: Final = "2025-06-18"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Id = str | int


@dataclass(frozen=True, slots=True)
class Request:
    """A call (`id` is set) or a notification (`id` is None)."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)
    id: Id | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """What is answered to a line that is no message of ours."""

    code: int
    message: str
    id: Id | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """A blank line, or an answer to a question that we never ask."""


def read(line: bytes) -> Request | Broken | Nothing:
    """What `line` says; never raises."""
    if not line.strip():
        return Nothing()
    if line.lstrip()[:1] == b"[":
        return Broken(INVALID_REQUEST, "batches are not taken")
    try:
        message = parse_object(line, "message", limit=MAX_LINE)
    except Untrusted as exc:
        return Broken(PARSE_ERROR, exc.message)
    given = message.get("id")
    known = given if _is_id(given) else None
    if message.get("jsonrpc") != "2.0":
        return Broken(INVALID_REQUEST, "jsonrpc is not 2.0", known)
    if "method" not in message and ("result" in message or "error" in message):
        return Nothing()
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str) or len(method) > MAX_ID:
        return Broken(INVALID_REQUEST, "method is no text", known)
    if not isinstance(params, dict):
        return Broken(INVALID_PARAMS, "params is no object", known)
    if "id" not in message:
        return Request(method, params)
    if known is None:
        return Broken(INVALID_REQUEST, "id is neither text nor a whole number")
    return Request(method, params, known)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= MAX_ID
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def result(request: Id, value: dict[str, Any]) -> bytes:
    return _line({"id": request, "result": value})


def error(request: Id | None, code: int, message: str) -> bytes:
    return _line({"id": request, "error": {"code": code, "message": message}})


def notification(method: str, params: dict[str, Any]) -> bytes:
    return _line({"method": method, "params": params})


def _line(message: dict[str, Any]) -> bytes:
    # ASCII: no sign that acts on a terminal, should one show it.
    return json.dumps({"jsonrpc": "2.0", **message}).encode("ascii") + b"\n"


def version_for(asked: object) -> str:
    return asked if isinstance(asked, str) and asked in VERSIONS else VERSIONS[0]


def progress_token(params: dict[str, Any]) -> Id | None:
    meta = params.get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    return token if _is_id(token) else None
