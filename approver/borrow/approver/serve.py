"""Running an application on a TCP port or a Unix socket, with aiohttp told to say nothing.

aiohttp repeats a malformed header line in its own 400 and in its log, and that line may be a
bearer token: here both are constant.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from borrow.approver.errors import constant
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from typing_extensions import override

    Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    Admit = Callable[[asyncio.BaseTransport], bool]
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


logger = logging.getLogger(__name__)

KEEPALIVE: Final = 75.0  # seconds; longer than a long poll, far below aiohttp's hour
HEAD_WITHIN: Final = 15.0  # seconds for a new connection to say what it wants; then it is cut
TAKEN_WITHIN: Final = 60.0  # seconds for a caller to take an answer; it is in memory until then
SHUTDOWN: Final = 5.0  # seconds for calls under way; long polls have ended before


class _QuietHandler(web.RequestHandler):
    __slots__ = ("admit", "head_within", "taken_within")
    admit: Admit | None
    head_within: float
    taken_within: float

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.admit is not None and not self.admit(transport):
            self.force_close()
            return
        self._loop.call_later(self.head_within, self._cut_if_silent)

    def _cut_if_silent(self) -> None:
        """Of a head that never ends, aiohttp would wait for the rest as long as for a next call."""
        if self._request_count == 0 and self.transport is not None:
            self.force_close()

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            async with asyncio.timeout(self.taken_within):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:  # aiohttp would keep it for whoever reads nothing, for ever
            if isinstance(self.transport, asyncio.Transport):
                self.transport.abort()
            raise ConnectionError("the answer was not taken") from None

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        logger.warning("call failed", extra={"status": status, "kind": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        answer = constant(status)
        answer.force_close()
        return answer

    @override
    def log_exception(self, *args: Any, **kw: Any) -> None:
        exc = kw.get("exc_info")
        logger.error("call failed", extra={"kind": type(exc).__name__})


class _QuietServer(web.Server):
    def __init__(self, plain: web.Server, runner: _QuietRunner) -> None:
        handle = _last_door(plain.request_handler)
        super().__init__(handle, request_factory=plain.request_factory)
        self._runner = runner
        self._kwargs = plain._kwargs  # noqa: SLF001  aiohttp has no other way to choose the handler

    @override
    def __call__(self) -> web.RequestHandler:
        handler = _QuietHandler(self, loop=self._loop, **self._kwargs)
        runner = self._runner
        handler.admit = runner.admit
        handler.head_within, handler.taken_within = runner.head_within, runner.taken_within
        return handler


def _last_door(handle: Handle) -> Handle:
    """What aiohttp refuses before any middleware (an odd `Expect`) repeats what was sent."""

    async def handled(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handle(request)
        except web.HTTPException as exc:
            return constant(exc.status)

    return handled


class _QuietRunner(web.AppRunner):
    __slots__ = ("admit", "head_within", "taken_within")
    admit: Admit | None
    head_within: float
    taken_within: float

    @override
    async def _make_server(self) -> web.Server:
        return _QuietServer(await super()._make_server(), self)


async def start(
    app: web.Application,
    *,
    unix: Path | None = None,
    sockets: Sequence[socket.socket] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    ssl: tls.SSLContext | None = None,
    head_within: float = HEAD_WITHIN,
    taken_within: float = TAKEN_WITHIN,
    admit: Admit | None = None,
) -> web.AppRunner:
    """Serve `app` until `runner.cleanup()`. `port` 0 takes a free one: see `port_of`.

    `sockets` that are bound already take the place of host and port. `admit` is asked of each
    connection before anything is read from it.

    A Unix socket is made 0600; its directory is its caller's to guard. Raises Misconfigured.
    """
    runner = _QuietRunner(
        app,
        access_log=None,  # its lines hold queries, and those hold the digits
        keepalive_timeout=KEEPALIVE,
        shutdown_timeout=SHUTDOWN,
        auto_decompress=False,  # a small body must not become a large one; `bodies` says no to it
    )
    runner.admit = admit
    runner.head_within, runner.taken_within = head_within, taken_within
    await runner.setup()
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(runner.cleanup)
        try:
            if unix is not None:
                _clear(unix)
                await web.UnixSite(runner, str(unix), ssl_context=ssl).start()
                os.chmod(unix, 0o600)  # noqa: PTH101  one quick call, no need for a thread
            elif sockets:
                for each in sockets:
                    await web.SockSite(runner, each, ssl_context=ssl).start()
            else:
                await web.TCPSite(runner, host, port, ssl_context=ssl).start()
        except OSError as exc:
            raise Misconfigured(
                f"cannot listen on {unix or f'{host} port {port}'}: {exc.strerror or 'taken'}",
                hint="another server may run there already",
            ) from exc
        undo.pop_all()
    return runner


@contextlib.asynccontextmanager
async def serving(app: web.Application, **where: Any) -> AsyncIterator[web.AppRunner]:
    """`start`, and an orderly stop."""
    runner = await start(app, **where)
    try:
        yield runner
    finally:
        await runner.cleanup()


def port_of(runner: web.AppRunner) -> int:
    """The TCP port it listens on."""
    return int(runner.addresses[0][1])


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on; anything else there is not ours to remove."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Misconfigured(f"{path} is there and is no socket", hint="move it away")
    except FileNotFoundError:
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise Misconfigured(f"somebody listens on {path} already", hint="stop the other server first")
