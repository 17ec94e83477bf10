"""IMDSv2 under `/latest/…`, for one role per workstation, off until `borrow imds use ROLE`.

It has no bearer, so it is offered only where the kernel names the user of a connection, only for
roles the policy marks `imds` below tier `sensitive`, and no question is asked before a token was
PUT and sent back. Expiries are the real ones: these SDKs stretch what they see.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import struct
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from borrow.daemon.container import describe_connection, peer_of
from borrow.daemon.documents import imds_document
from borrow.daemon.flights import Asked
from borrow.daemon.forwarders import passes_on
from borrow.daemon.groups import Group
from borrow.daemon.guard import Head, Refusal, origin_form
from borrow.daemon.holding import NO_STORE, hold
from borrow.daemon.imds_role import may_be_offered
from borrow.daemon.imds_stubs import stub
from borrow.daemon.techniques import DRIBBLE, technique_for
from borrow.daemon.tower import Caller
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.agents import Agents
    from borrow.daemon.broker import Broker, Served
    from borrow.daemon.catalogue import RoleFacts
    from borrow.daemon.front import Door
    from borrow.daemon.ticker import Ticker

TTL_HEADER: Final = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER: Final = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
LONGEST_TTL: Final = 21_600  # seconds, as on EC2

_LIST: Final = "/latest/meta-data/iam/security-credentials"
_DIGITS: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_STAMP: Final = struct.Struct(">Q")


class Tokens:
    """Stateless: a token is its own expiry under an HMAC; no table that could fill up."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, ttl: int, now: float) -> str:
        stamp = _STAMP.pack(int(now) + ttl)
        return base64.urlsafe_b64encode(stamp + self._mac(stamp)).decode("ascii")

    def holds(self, token: str, now: float) -> bool:
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except ValueError:  # binascii.Error and UnicodeEncodeError are both
            return False
        if len(raw) != _STAMP.size + hashlib.sha256().digest_size:
            return False
        stamp, mac = raw[: _STAMP.size], raw[_STAMP.size :]
        if not hmac.compare_digest(mac, self._mac(stamp)):
            return False
        return bool(now < _STAMP.unpack(stamp)[0])

    def _mac(self, stamp: bytes) -> bytes:
        return hmac.digest(self._key, stamp, "sha256")


def origin_form_or_latest(head: Head, authority: bytes) -> Refusal | None:
    """The guard's rule, except that Java's `//latest/…` names a path of ours and no host."""
    if head.target.startswith("//latest/"):
        head = Head(head.method, head.target[1:], head.version, head.headers)
    return origin_form(head, authority)


class Imds:
    """The routes. `role` says which role is offered at the moment, "" for none."""

    def __init__(
        self,
        broker: Broker,
        agents: Agents,
        ticker: Ticker,
        door: Door,
        tokens: Tokens,
        *,
        role: Callable[[], str],
        on_reject: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._agents = agents
        self._ticker = ticker
        self._door = door
        self._tokens = tokens
        self._role = role
        self._on_reject = on_reject

    def routes(self) -> list[web.RouteDef]:
        slash = "/{slash:/?}"  # Java's second one
        return [
            web.put(slash + "latest/api/token", self.token),
            web.get(slash + _LIST[1:] + "{tail:(/.*)?}", self.credentials, allow_head=False),
            web.get(slash + "latest{rest:(/.*)?}", self.about, allow_head=False),
        ]

    async def token(self, request: web.Request) -> web.StreamResponse:
        if not self._role():
            return self._no(404, "imds_off")
        if await self._is_passed_on(request):
            return self._no(403, "forwarder")
        ttl = request.headers.get(TTL_HEADER, "")
        if not _DIGITS.fullmatch(ttl) or not 1 <= int(ttl) <= LONGEST_TTL:
            return self._no(400, "imds_ttl")
        issued = self._tokens.issue(int(ttl), self._broker.now().wall)
        return web.Response(text=issued, headers={TTL_HEADER: ttl, **NO_STORE})

    async def credentials(self, request: web.Request) -> web.StreamResponse:
        offered = self._role()
        if not offered:
            return self._no(404, "imds_off")
        if not self._has_token(request):
            return self._no(401, "imds_token")
        if await self._is_passed_on(request):
            return self._no(403, "forwarder")
        wanted = request.match_info["tail"].strip("/")
        if not wanted:
            return web.Response(text=offered, headers=NO_STORE)
        if wanted != offered:
            return self._no(404, "not_found")
        return await self._held(request, offered)

    async def about(self, request: web.Request) -> web.StreamResponse:
        """The stubs that SDKs and tools probe; never a question, never without a token."""
        offered = self._role()
        if not offered:
            return self._no(404, "imds_off")
        if not self._has_token(request):
            return self._no(401, "imds_token")
        try:
            facts = await self._known(offered)
        except BorrowError:
            return self._no(404, "not_found")
        text = stub(request.match_info["rest"], facts)
        if text is None:
            return self._no(404, "not_found")
        return web.Response(text=text, headers=NO_STORE)

    async def _is_passed_on(self, request: web.Request) -> bool:
        transport = request.transport
        peer = self._door.whois(transport) if transport is not None else None
        return peer is None or await asyncio.to_thread(passes_on, peer)

    def _no(self, status: int, reason: str) -> web.Response:
        self._on_reject(reason)
        return _plain(status)

    async def _known(self, role: str) -> RoleFacts:
        return self._broker.catalogue.known(role) or await self._broker.catalogue.role(role)

    def _has_token(self, request: web.Request) -> bool:
        given = request.headers.get(TOKEN_HEADER, "")
        return self._tokens.holds(given, self._broker.now().wall)

    async def _held(self, request: web.Request, role: str) -> web.StreamResponse:
        async def describe() -> dict[str, Any]:
            return await describe_connection(self._door, request)

        agent = await self._agents.behind(peer_of(self._door, request))
        group = Group(role) if agent is None else agent.of(Group(role))
        caller = Caller(group, "imds", Asked(), describe)

        async def fetch() -> Served:
            known = await self._known(role)
            may_be_offered(known)  # the policy may have changed since `borrow imds use`
            return await self._broker.fetch(caller)

        technique = technique_for(request.raw_headers)
        return await hold(
            request,
            fetch,
            technique=technique if technique.deaf else DRIBBLE,
            ticker=self._ticker,
            render=lambda served: imds_document(served, self._broker.now()),
            on_limit=lambda: self._broker.keep(caller),
        )


def _plain(status: int) -> web.Response:
    words = {400: "invalid_request", 401: "unauthorized", 403: "proxied", 404: "not_found"}
    body = json.dumps({"error": words[status]})
    return web.Response(text=body, status=status, content_type="application/json", headers=NO_STORE)
