"""`<state>/daemon.log`: one JSON object a line, ids and words only, never a secret.

The message is constant and the details are fields, so lines can be counted. An exception is logged
by its kind and place: its text may quote what a client sent.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from typing import TYPE_CHECKING, Final

from borrow.daemon.places import append_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


LARGEST: Final = 4 << 20  # bytes; then the file is moved to daemon.log.1, replacing the last one
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "from": record.name.removeprefix("borrow.daemon."),
            "message": record.getMessage(),
            **{k: v for k, v in vars(record).items() if k not in _PLAIN},
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["kind"] = record.exc_info[0].__name__
            line["where"] = list(_places(record))
        return json.dumps(line, default=lambda value: type(value).__name__)


def _places(record: logging.LogRecord) -> Iterator[str]:
    trace = record.exc_info[2] if record.exc_info else None
    for frame in traceback.extract_tb(trace)[-6:]:
        yield f"{os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119  no Path needed


def log_to(path: Path) -> logging.Handler:
    """Send the daemon's log lines to `path` (0600), and nobody else's anywhere.

    Raises Misconfigured if something else than a file of ours is there.
    """
    handle = append_private(path)
    if os.fstat(handle).st_size > LARGEST:
        os.close(handle)
        path.replace(path.with_suffix(".log.1"))
        handle = append_private(path)
    handler = logging.StreamHandler(os.fdopen(handle, "a", encoding="utf-8"))
    handler.setFormatter(JsonLines())
    ours = logging.getLogger("borrow.daemon")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    # aiohttp repeats offending header lines in its log: a token leaked that way (SECURITY).
    logging.getLogger("aiohttp.server").disabled = True
    logging.getLogger("aiohttp.access").disabled = True
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.addHandler(handler)
    asyncio_log.propagate = False
    return handler


def stop_logging(handler: logging.Handler) -> None:
    for name in ("borrow.daemon", "asyncio"):
        logging.getLogger(name).removeHandler(handler)
        logging.getLogger(name).propagate = True
    stream = getattr(handler, "stream", None)
    handler.close()
    if stream is not None:
        stream.close()
