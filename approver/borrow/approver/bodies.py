"""Request bodies and queries into values, strictly: one media type each, no member twice.

Sizes are bounded by the application (`client_max_size`); all that is odd raises `Untrusted`
(or a `BorrowError` of a state that has its own status) and never repeats the input.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from borrow.approver.desk import DESK
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.ids import kind_of
from borrow.protocol.strict import parse_object

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

MAX_BODY = 64 * 1024  # bytes; the largest honest body is one token of 16 KiB in a form
MAX_FIELDS = 32
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


async def form(request: web.Request, allowed: Collection[str] = ()) -> dict[str, str]:
    """The members of a form. With `allowed`, any other member is refused."""
    members = _pairs((await _body(request, FORM)), "form")
    if allowed and not members.keys() <= set(allowed):
        raise Untrusted("the form has unknown members", state="invalid_request")
    return members


async def json_object(request: web.Request) -> dict[str, Any]:
    return parse_object(await _body(request, JSON), "body", limit=MAX_BODY)


def query(request: web.Request, allowed: Collection[str]) -> dict[str, str]:
    members = _pairs(request.rel_url.raw_query_string.encode("ascii", "replace"), "query")
    if not members.keys() <= set(allowed):
        raise Untrusted("the query has unknown members", state="invalid_request")
    return members


def need(members: dict[str, str], name: str, what: str = "form") -> str:
    """The value of `name`, never empty."""
    value = members.get(name, "")
    if not value:
        raise Untrusted(f"the {what} lacks {name}", state="invalid_request")
    return value


def whole(text: str, name: str, *, high: int) -> int:
    """Decimal digits of at most `high`; nothing else int() would take."""
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > high:
        raise Untrusted(f"{name} is not a number in range", state="invalid_request")
    return int(text)


def path_id(request: web.Request, kinds: str) -> str:
    """The id in the path if it is one of `kinds` (`r`, `g`); everything else is not here (A84)."""
    text = request.match_info["id"]
    try:
        kind = kind_of(text)
    except Untrusted:
        kind = ""
    if not kind or kind not in kinds:
        raise Refused("there is nothing here", state="not_found")
    return text


async def _body(request: web.Request, media_type: str) -> bytes:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != media_type or charset not in ("utf-8", "utf8"):
        raise Untrusted(f"the body is not {media_type}", state="media_type")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Untrusted("the body is compressed", state="media_type")
    try:
        # One that trickles would hold its connection for ever.
        async with asyncio.timeout(request.app[DESK].settings.body_within):
            return await request.read()
    except TimeoutError:
        raise Untrusted("the body did not come in time", state="body_too_slow") from None


def _pairs(raw: bytes, what: str) -> dict[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:  # UnicodeDecodeError is one
        raise Untrusted(f"the {what} is not one", state="invalid_request") from None
    members = dict(pairs)
    if len(members) != len(pairs):  # two readers must not read two messages
        raise Untrusted(f"the {what} names a member twice", state="invalid_request")
    return members
