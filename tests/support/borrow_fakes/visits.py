"""The pages without a browser: its cookie, the headers it sends, and a passkey in software."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from borrow.protocol.enrolment import read_invitation
from borrow.protocol.keys import seed_of
from borrow.protocol.strict import from_b64url
from borrow_fakes.authenticator import Authenticator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.front_desk import FrontDesk

_TOLD = re.compile(r'role="alert">\s*([^<]+?)\s*<')


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    text: str
    headers: dict[str, str]
    cookie: str = ""  # the whole Set-Cookie line

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.text)
        return value

    @property
    def state(self) -> str:
        return str(self.json.get("borrow_state", ""))

    @property
    def told(self) -> str:
        found = _TOLD.search(self.text)
        return found[1] if found else ""

    @property
    def to(self) -> str:
        return self.headers.get("Location", "")


@dataclass(slots=True)
class Visitor:
    """One browser. `key` is its passkey; `sent` are the headers that a post leaves with."""

    desk: FrontDesk
    session: aiohttp.ClientSession
    key: Authenticator
    token: str = ""
    sent: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Page:
        return await self._send("GET", path, headers=headers)

    async def form(self, path: str, headers: dict[str, str] | None = None, **members: str) -> Page:
        return await self._send("POST", path, headers=self._own(headers), data=members)

    async def post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> Page:
        return await self._send("POST", path, headers=self._own(headers), json=body)

    def _own(self, headers: dict[str, str] | None) -> dict[str, str]:
        return self.sent if headers is None else headers

    async def _send(self, method: str, path: str, **content: Any) -> Page:
        headers = content.pop("headers") | {"Host": f"localhost:{self.desk.port}"}
        if self.token:
            headers["Cookie"] = f"__Host-borrow={self.token}"
        url = self.desk.issuer + path
        async with self.session.request(
            method, url, headers=headers, allow_redirects=False, **content
        ) as answer:
            line = answer.headers.get("Set-Cookie", "")
            if line:
                self.token = line.partition("=")[2].partition(";")[0].strip('"')
            return Page(answer.status, await answer.text(), dict(answer.headers), line)

    # -- what people do ------------------------------------------------------------------------

    async def join(self, person: str) -> Page:
        """By an invitation: a passkey, and signed in with it."""
        url = (await self.desk.admin("POST", "/admin/invite", {"person": person})).ok()["url"]
        seed = seed_of(read_invitation(url).key)
        options = (await self.post("/join/begin", {"invitation": seed})).json
        self.key.user_handle = options["user_handle"]
        made = self.key.create(from_b64url(options["challenge"]))
        page = await self.post("/join", {"invitation": seed, "attestation": made, "name": "phone"})
        assert page.status == 200, page.text
        return page

    async def sign_in(self, **lies: Any) -> Page:
        asked = (await self.post("/signin/begin", {})).json
        assertion = self.key.get(from_b64url(asked["challenge"]), **lies)
        return await self.post("/signin", {"ceremony": asked["ceremony"], "assertion": assertion})

    async def approve(self, request: str, *, number: str = "", **lies: Any) -> Page:
        """A yes by passkey, as the page's module gives it."""
        asked = (await self.statement(request, number=number)).json
        assertion = self.key.get(from_b64url(asked["challenge"]), **lies)
        body = {"statement": asked["statement"], "assertion": assertion}
        return await self.post(f"/r/{request}/approve", body)

    async def statement(self, request: str, *, number: str = "", seconds: int = 0) -> Page:
        body = {"number": number, "seconds": seconds}
        return await self.post(f"/r/{request}/statement", body)

    async def deny(self, request: str, reason: str = "") -> Page:
        return await self.form(f"/r/{request}/decide", decision="deny", reason=reason)


@dataclass(slots=True)
class Caller:
    """`person` at the pages, for what modules of ours ask: joined at the first call."""

    person: str
    visitor: Visitor

    async def post(self, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        page = await (await self.joined()).post(path, {} if body is None else body)
        return page.status, page.json

    async def get(self, path: str) -> tuple[int, dict[str, Any], str]:
        """(status, body, where it leads to)"""
        page = await (await self.joined()).get(path)
        is_data = page.headers.get("Content-Type", "").startswith("application/json")
        return page.status, page.json if is_data else {}, page.to

    async def joined(self) -> Visitor:
        if not self.visitor.token:
            await self.visitor.join(self.person)
        return self.visitor


@contextlib.asynccontextmanager
async def visitor(desk: FrontDesk) -> AsyncIterator[Visitor]:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        sent = {"Origin": desk.origin, "Sec-Fetch-Site": "same-origin"}
        yield Visitor(desk, session, Authenticator("localhost", desk.origin), sent=sent)
