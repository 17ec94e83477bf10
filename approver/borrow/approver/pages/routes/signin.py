"""Signing in with a passkey, and out again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiohttp import web

from borrow.approver.bodies import form, json_object
from borrow.approver.pages.ceremony import asked
from borrow.protocol.strict import Members, from_b64url

if TYPE_CHECKING:
    from borrow.approver.pages.door import Visit

MAX_ANSWER: Final = 16_384  # characters of a passkey's answer; the minter takes no more
# Where somebody may want to go once they are signed in: our own pages, spelled exactly.
_WITHIN: Final = re.compile(r"/(?:r/r-[0-9a-z]{26}|mine|keys|people)", re.ASCII)


def within(path: str) -> str:
    """`path` if it is a page of ours, else the inbox: no link sends anybody elsewhere."""
    return path if _WITHIN.fullmatch(path) else "/"


async def show(visit: Visit) -> web.Response:
    """`GET /signin`, with `?to=` the page that was wanted."""
    to = within(visit.request.query.get("to", ""))
    if visit.session is not None:
        return visit.go(to)
    return visit.page("signin.html", to=to)


async def begin(visit: Visit) -> web.Response:
    """`POST /signin/begin`: bytes to sign. Which passkey signs them says who it is."""
    Members(await json_object(visit.request), "sign-in").end()
    ceremony = await visit.desk.minter.new_ceremony("sign-in")
    return web.json_response(asked(visit, ceremony, "ceremony"))


async def finish(visit: Visit) -> web.Response:
    """`POST /signin`"""
    body = Members(await json_object(visit.request), "sign-in")
    ceremony = from_b64url(body.text("ceremony", limit=4_096), "ceremony")
    assertion = body.text("assertion", limit=MAX_ANSWER)
    body.end()
    known = await visit.desk.minter.sign_in(ceremony, assertion)
    answer = web.json_response({"person": known.person})
    return await visit.sign_in(answer, known.person, known.credential_id)


async def leave(visit: Visit) -> web.Response:
    """`POST /signout`"""
    await form(visit.request, ("leave",))
    return await visit.sign_out(visit.go("/signin"))
