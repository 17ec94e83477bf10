"""aiohttp behind the door: its protocol for one connection, quiet about what it was sent.

aiohttp repeats the offending header line in its 400 and in its log, and a token leaked that way.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from borrow.daemon.visitor import KEEPALIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web
    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


logger = logging.getLogger(__name__)


def aiohttp_handlers(
    server: web.Server,
    *,
    keepalive: float = KEEPALIVE,
    on_reject: Callable[[str], None] = lambda reason: None,
) -> Callable[[], asyncio.Protocol]:
    """A `hand_over` for the server of an `AppRunner` (made with `handler_cancellation=True`)."""
    from aiohttp import web  # late: the daemon listens before it has imported aiohttp

    class Handler(web.RequestHandler):
        """aiohttp's handler; only what it says and logs about a broken request is ours."""

        __slots__ = ()

        @override
        def handle_error(
            self,
            request: web.BaseRequest,
            status: int = 500,
            exc: BaseException | None = None,
            message: str | None = None,
        ) -> web.StreamResponse:
            if status >= 500:
                logger.warning("request failed", extra={"kind": type(exc).__name__})
            else:
                on_reject("malformed")  # who sends it as fast as it can gets a few lines in all
            if request.writer.output_size > 0:
                raise ConnectionError("an answer had begun")
            word = "internal" if status >= 500 else "invalid_request"
            answer = web.json_response(
                {"error": word}, status=status, headers={"Cache-Control": "no-store"}
            )
            answer.force_close()
            return answer

    quiet = _quiet_logger()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "access_log": None,
        "keepalive_timeout": keepalive,
        "lingering_time": 1.0,  # seconds; nobody has a body to send us
        "max_headers": 64,
        "logger": quiet,
    }
    return lambda: Handler(server, loop=loop, **options)


def _quiet_logger() -> logging.Logger:
    """aiohttp logs exceptions with their text, which may quote the request. Ours keeps the kind."""

    def strip(record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        record.msg, record.args = "http connection failed", ()
        record.exc_info, record.exc_text, record.stack_info = None, None, None
        record.kind = kind.__name__ if kind else ""
        return record.levelno > logging.DEBUG

    # One of its own: its filter must not meet anybody else's records.
    quiet = logging.Logger("borrow.daemon.http")  # noqa: LOG001 -- see above
    quiet.addFilter(strip)
    quiet.parent = logger
    return quiet
