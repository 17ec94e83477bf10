"""What a Borrow process writes about itself: one line an event, fields escaped, no secrets.

The message is constant and the facts are fields, so that lines can be counted. Tracebacks are left
out: they could quote what they failed on (A42).
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: Any) -> Any:
        return method


_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Chatty at INFO, and some of them quote what clients sent.
_QUIET: Final = ("aiohttp", "alembic", "asyncio", "botocore", "boto3", "sqlalchemy", "urllib3")


class Fields(logging.Formatter):
    """`2026-01-31T12:00:00 WARNING borrow.x message key=value`."""

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")

    @override
    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record, self.datefmt)} {record.levelname} {record.name}"
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
        told = "".join(f" {name}={shown(str(value), 200)!r}" for name, value in fields.items())
        return f"{head} {shown(record.getMessage(), 300)}{told}"


def configure(level: int = logging.INFO) -> None:
    """Everything to stderr, which is the log file of a daemon and the terminal of `serve`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Fields())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
