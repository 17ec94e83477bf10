"""What a Borrow process writes about itself: constant messages with fields, no secrets.

Tracebacks are places only: their text could quote what they failed on (A42). A server writes for
eyes, to stderr; solo mode writes JSON lines into the daemon's own log, which `read` makes readable.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.logs import JsonLines, log_to
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import override
else:

    def override(method: Any) -> Any:
        return method


# Chatty at INFO, and some of them quote what clients sent.
_QUIET: Final = ("aiohttp", "alembic", "asyncio", "botocore", "boto3", "sqlalchemy", "urllib3")
_ROOMS: Final = ("borrow.approver", "borrow.minter", "borrow.policy", "borrow.cli")
_TIME: Final = "%Y-%m-%d %H:%M:%S"


class Readable(JsonLines):
    """`2026-01-31 12:00:00 warning approver: message key=value`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return read(super().format(record))


def to_stderr() -> None:
    """For a server in the foreground."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Readable())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    _hush()


def to_file(path: Path) -> None:
    """For solo mode: the approver's and the minter's lines join the daemon's."""
    handler = log_to(path)
    for name in _ROOMS:
        room = logging.getLogger(name)
        room.addHandler(handler)
        room.setLevel(logging.INFO)
        room.propagate = False
    _hush()


def _hush() -> None:
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("aiohttp.server", "aiohttp.access"):
        logging.getLogger(name).disabled = True


def read(line: str) -> str:
    """A line of a log for eyes; what is no JSON object is shown as it is, escaped."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        return shown(line.rstrip("\n"), 2_000)
    at = entry.pop("at", None)
    when = time.strftime(_TIME, time.localtime(at)) if isinstance(at, int | float) else ""
    head = (when, entry.pop("level", ""), f"{entry.pop('from', '')}:", entry.pop("message", ""))
    told = " ".join(str(part).removeprefix("borrow.") for part in head if part)
    fields = "".join(f" {name}={json.dumps(value)}" for name, value in entry.items())
    return shown(told + fields, 2_000)
