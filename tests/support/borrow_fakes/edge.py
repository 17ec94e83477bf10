"""A small aiohttp app behind the daemon's real door, and clients that speak raw bytes to it.

The door, the guard and the kernel's answers are the real ones; only what they protect is small:
one "credential", whose every serving is counted, so that a test can say "no side effect".
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.daemon.front import Door, Limits
from borrow.daemon.guard import RULES, Rule, guard_middleware, install_guard
from borrow.daemon.handlers import aiohttp_handlers
from borrow.daemon.peer import Peer, PeerSource, system_peers
from borrow.daemon.ports import BACKLOG
from borrow.daemon.visitor import KEEPALIVE
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECRET = "canary-secret-that-must-not-leak"
CREDENTIALS = "/v1/credentials/warm"

# Helpers run as users who may read nothing of ours, the test's own Python included.
SYSTEM_PYTHON = "/usr/bin/python3"
TWO_USERS = "apt-get install util-linux python3, and run the tests as root"
OTHER, THIRD = 40_001, 40_002  # uids that own nothing on any machine


@dataclass
class Edge:
    """A running edge. `served` grows with each request that got past every guard."""

    door: Door
    port: int
    served: list[str] = field(default_factory=list)
    callers: list[Peer | None] = field(default_factory=list)  # of what was served
    refused: list[tuple[str, int | None]] = field(default_factory=list)  # by the door
    rejected: list[str] = field(default_factory=list)  # by the guard

    def head(self, target: str = CREDENTIALS, *lines: str, method: str = "GET") -> bytes:
        """A request with the right Host and the given further header lines."""
        all_lines = (f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines)
        return "".join(f"{line}\r\n" for line in all_lines).encode("latin-1") + b"\r\n"

    async def ask(self, *parts: bytes, seconds: float = 5.0) -> bytes:
        """Send `parts` on one connection; all that came back until it closed or fell silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(seconds):
                while piece := await reader.read(65536):
                    received += piece
                    if _is_whole(received):
                        break
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return received

    async def get(self, *lines: str, target: str = CREDENTIALS) -> Answer:
        return Answer.parse(await self.ask(self.head(target, *lines)))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        """A first response; status 0 if the connection was closed without one."""
        if not raw:
            return cls(0, {}, b"")
        top, _, body = raw.partition(b"\r\n\r\n")
        status, *lines = top.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return cls(int(status.split()[1]), {k.lower(): v.strip() for k, _, v in pairs}, body)

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


@asynccontextmanager
async def running_edge(
    *,
    door: type[Door] = Door,
    rules: tuple[Rule, ...] = RULES,
    peers: PeerSource | None = None,
    uid: int | None = None,
    limits: Limits | None = None,
    keepalive: float = KEEPALIVE,
    **options: Any,
) -> AsyncIterator[Edge]:
    """The edge on a free port of the loopback, until the block ends."""
    source = peers or system_peers()
    app = web.Application()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    refused: list[tuple[str, int | None]] = []
    entrance = door(
        source,
        lambda: hand_over(),
        uid=os.getuid() if uid is None else uid,
        limits=limits,
        on_reject=lambda reason, who: refused.append((reason, who)),
        **options,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(entrance, "127.0.0.1", 0, backlog=BACKLOG)
    edge = Edge(entrance, server.sockets[0].getsockname()[1], refused=refused)
    install_guard(app, guard_middleware(edge.port, rules=rules, on_reject=edge.rejected.append))
    _add_routes(app, edge)
    await runner.setup()
    assert runner.server is not None
    hand_over = aiohttp_handlers(runner.server, keepalive=keepalive)
    try:
        yield edge
    finally:
        server.close()
        entrance.abort_all()
        await runner.cleanup()
        source.close()


def _add_routes(app: web.Application, edge: Edge) -> None:
    async def credentials(request: web.Request) -> web.StreamResponse:
        edge.served.append(request.path)
        assert request.transport is not None
        edge.callers.append(edge.door.whois(request.transport))
        return web.json_response({"SecretAccessKey": SECRET})

    async def token(request: web.Request) -> web.StreamResponse:
        edge.served.append(request.path)
        return web.Response(text="token")

    async def broken(request: web.Request) -> web.StreamResponse:
        raise RuntimeError(SECRET)

    app.router.add_get("/v1/credentials/{role}", credentials, allow_head=False)
    app.router.add_put("/latest/api/token", token)
    app.router.add_get("/broken", broken, allow_head=False)


def _is_whole(received: bytes) -> bool:
    """True once a response with a Content-Length has arrived, so that nobody waits for the end."""
    top, found, body = received.partition(b"\r\n\r\n")
    for line in top.lower().split(b"\r\n"):
        if found and line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return False


async def until(happened: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 -- a counter has no event to wait for
            await asyncio.sleep(0.01)


async def run_as(uid: int, code: str, *arguments: str, seconds: float = 10.0) -> tuple[int, str]:
    """Run Python `code` (standard library only) as another user; its exit status and output."""
    return await run_program(
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
        *(SYSTEM_PYTHON, "-I", "-c", code, *arguments),
        seconds=seconds,
    )


async def run_program(*command: str, seconds: float = 10.0) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd="/"
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def escaped(head: bytes) -> str:
    """Bytes as an argument for a helper, which undoes it with `unicode_escape`."""
    return head.decode("latin-1").encode("unicode_escape").decode("ascii")


def need_two_users() -> None:
    """Skip the test (or fail it in CI) where nobody can become another user."""
    need(lacking("setpriv") or _cannot_change_user(), TWO_USERS)


def _cannot_change_user() -> str | None:
    """What is missing for tests with two users, as `need` wants to hear it."""
    if sys.platform != "linux":
        return "not Linux"
    if os.getuid() != 0:
        return "not run by root, who alone can become another user"
    return None if os.path.exists(SYSTEM_PYTHON) else f"no {SYSTEM_PYTHON}"  # noqa: PTH110
