"""The log as devices see it: its size and root, their own people's records, and a check.

An administrator sees all records; everyone else the ones that name them.
"""

from __future__ import annotations

from aiohttp import web

from borrow.approver.auth import bearer
from borrow.approver.bodies import query, whole
from borrow.approver.desk import DESK

MOST_ENTRIES = 500
_LATEST = 2**53


async def head(request: web.Request) -> web.Response:
    """`GET /log/sth`"""
    desk = request.app[DESK]
    await bearer(request, "audit")
    found = await desk.log_checks.check()
    return web.json_response({"tree_size": found.size, "root_hash": found.root})


async def entries(request: web.Request) -> web.Response:
    """`GET /log/entries?start=&count=`"""
    desk = request.app[DESK]
    caller = await bearer(request, "audit")
    members = query(request, ("start", "count"))
    found = await desk.minter.log_entries(
        whole(members.get("start", "0"), "start", high=_LATEST),
        min(whole(members.get("count", "100"), "count", high=_LATEST), MOST_ENTRIES),
        person=None if desk.is_admin(caller.person) else caller.person,
    )
    listed = [{"seq": e.seq, "entry": e.entry, "leaf_hash": e.leaf_hash} for e in found]
    return web.json_response({"entries": listed})


async def check(request: web.Request) -> web.Response:
    """`GET /log/check`"""
    desk = request.app[DESK]
    await bearer(request, "audit")
    found = await desk.log_checks.check()
    answer = {"size": found.size, "root": found.root, "bad_seq": found.bad_seq, "why": found.why}
    return web.json_response(answer)
