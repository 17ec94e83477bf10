"""`borrow-daemon`: the process. Protects itself first, then listens; see `app`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from borrow.daemon.hardening import protect_process


def main() -> int:
    """Exit status 0 after an orderly stop, 1 if it could not start (the reason is on stderr)."""
    protect_process()  # before any secret is in memory
    os.umask(0o077)
    from borrow.daemon.app import run
    from borrow.daemon.logs import log_to, stop_logging
    from borrow.daemon.places import StateDir, default_state_dir
    from borrow.protocol.errors import BorrowError

    try:
        state = StateDir.open(default_state_dir(os.environ, Path.home()))
        handler = log_to(state / "daemon.log")
        try:
            asyncio.run(run(state))
        finally:
            stop_logging(handler)
    except BorrowError as exc:
        return _failed(exc)
    except BaseExceptionGroup as group:  # from the task group, where the sockets are opened
        known, rest = group.split(BorrowError)
        if known is None or rest is not None:
            raise
        return _failed(_first(known))
    return 0


def _failed(error: BaseException) -> int:
    sys.stderr.write(f"borrow: error: {error}\n")
    if hint := getattr(error, "hint", ""):
        sys.stderr.write(f"borrow: hint: {hint}\n")
    return 1


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
