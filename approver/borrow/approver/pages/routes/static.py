"""Files beside the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from aiohttp import web

    from borrow.approver.pages.door import Visit


async def show(visit: Visit) -> web.Response:
    """`GET /static/{name}`"""
    request = visit.request
    answer = visit.room.statics.answer(
        request.match_info["name"],
        request.query.get("v", ""),
        request.headers.get("If-None-Match", ""),
    )
    if answer is None:
        raise Refused("there is nothing here", state="not_found")
    return answer
