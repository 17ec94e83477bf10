"""What waits for this person's answer, their own requests among it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.pages.words import waiting_of

if TYPE_CHECKING:
    from borrow.approver.pages.door import Visit


async def show(visit: Visit) -> web.Response:
    """`GET /`"""
    views = await visit.desk.minter.requests_for(visit.person)
    others, own = waiting_of(views, visit.person)
    return visit.page("inbox.html", others=others, own=own)


async def pending(visit: Visit) -> web.Response:
    """`GET /pending`: which requests wait, for an inbox that is open meanwhile."""
    views = await visit.desk.minter.requests_for(visit.person)
    return web.json_response({"requests": [view.request_id for view in views]})
