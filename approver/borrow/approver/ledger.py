"""The log as devices see it: its size and root, their own people's records, and a check.

An administrator sees all records; everyone else the ones that name them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.auth import bearer
from borrow.approver.bodies import query, whole
from borrow.approver.desk import DESK

MOST_ENTRIES = 500
MOST_CHARACTERS = 512 * 1024  # of one answer's entries; at most twice as many bytes as JSON
_LATEST = 2**53

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from borrow.minter.port import LogEntry


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
    listed = [{"seq": e.seq, "entry": e.entry, "leaf_hash": e.leaf_hash} for e in _page(found)]
    return web.json_response({"entries": listed})


def _page(found: Iterable[LogEntry]) -> Iterator[LogEntry]:
    """As many as fit, at least one: a reader goes on after the last `seq` that it got. A device
    must not be able to write entries that no reader takes, nor to have many megabytes kept."""
    size = 0
    for number, entry in enumerate(found):
        size += len(entry.entry)
        if number and size > MOST_CHARACTERS:
            return
        yield entry


async def check(request: web.Request) -> web.Response:
    """`GET /log/check`"""
    desk = request.app[DESK]
    await bearer(request, "audit")
    found = await desk.log_checks.check()
    answer = {"size": found.size, "root": found.root, "bad_seq": found.bad_seq, "why": found.why}
    return web.json_response(answer)
