"""`GET /v1/credentials/{role}`: what AWS_CONTAINER_CREDENTIALS_FULL_URI points at.

In this order: a name that can be a role's, the bearer of a caller group that still lives, the
broker. Nothing before the bearer can cause a question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.daemon.behind import describe_peer
from borrow.daemon.documents import container_document
from borrow.daemon.flights import Asked
from borrow.daemon.guard import BEARER_PATH, refused
from borrow.daemon.holding import NO_STORE, hold
from borrow.daemon.techniques import technique_for
from borrow.daemon.tower import Caller
from borrow.protocol.request import is_role_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.agents import Agents
    from borrow.daemon.broker import Broker, Served
    from borrow.daemon.front import Door
    from borrow.daemon.groups import Bearer, Bearers, Group
    from borrow.daemon.peer import Peer
    from borrow.daemon.ticker import Ticker

PREFIX = BEARER_PATH


class Container:
    """The route and what it needs. `door` is asked who made a connection, before a question."""

    def __init__(
        self,
        broker: Broker,
        bearers: Bearers,
        agents: Agents,
        ticker: Ticker,
        door: Door,
        on_reject: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._bearers = bearers
        self._agents = agents
        self._ticker = ticker
        self._door = door
        self._on_reject = on_reject

    def routes(self) -> list[web.RouteDef]:
        # One pattern for all that follows: what is no role's name is refused here and not by
        # the router's idea of a segment.
        return [web.get(PREFIX + "{role:.*}", self.credentials, allow_head=False)]

    async def credentials(self, request: web.Request) -> web.StreamResponse:
        role = request.raw_path.partition("?")[0].removeprefix(PREFIX)  # as sent, not decoded
        if not is_role_name(role):
            self._on_reject("not_found")
            return refused("not_found", 404)
        bearer = await self._bearer(request, role)
        if bearer is None:
            self._on_reject("bearer")
            return refused("unauthorized", 401)
        caller = self._caller(request, bearer, await self._group(request, bearer))
        if (served := self._broker.look(caller)) is not None and (
            body := self._render(served)
        ) is not None:
            return web.Response(body=body, content_type="application/json", headers=NO_STORE)
        return await hold(
            request,
            lambda: self._broker.fetch(caller),
            technique=technique_for(request.raw_headers),
            ticker=self._ticker,
            render=self._render,
            on_limit=lambda: self._broker.keep(caller),
        )

    async def _bearer(self, request: web.Request, role: str) -> Bearer | None:
        given = request.headers.getall("Authorization", [])
        if len(given) != 1:
            return None
        bearer = await self._bearers.find(given[0])
        return bearer if bearer is not None and bearer.group.role == role else None

    async def _group(self, request: web.Request, bearer: Bearer) -> Group:
        """Whose the call is: the bearer's group, or that of an agent which came by the bearer."""
        if bearer.group.agent:
            return bearer.group
        agent = await self._agents.behind(peer_of(self._door, request))
        return bearer.group if agent is None else agent.of(bearer.group)

    def _render(self, served: Served) -> bytes | None:
        return container_document(served, self._broker.now())

    def _caller(self, request: web.Request, bearer: Bearer, group: Group) -> Caller:
        async def describe() -> dict[str, Any]:
            found = await describe_connection(self._door, request)
            # What comes by a container's bearer is carried by the process that serves its socket.
            return found | ({"container": bearer.container} if bearer.container else {})

        return Caller(
            group=group,
            via="container",
            asked=Asked(bearer.reason, bearer.ticket, bearer.seconds),
            describe=describe,
            terminal=True,
        )


def peer_of(door: Door, request: web.Request) -> Peer | None:
    return door.whois(request.transport) if request.transport is not None else None


async def describe_connection(door: Door, request: web.Request) -> dict[str, Any]:
    """The process behind a request's connection."""
    return await describe_peer(peer_of(door, request))
