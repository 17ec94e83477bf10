"""`borrow-daemon`: the process. Protects itself first, then listens; see `app`."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from borrow.daemon.hardening import protect_process

if TYPE_CHECKING:
    from borrow.daemon.app import Started


def main() -> int:
    """Exit status 0 after an orderly stop, 1 if it could not start (the reason is on stderr)."""
    protect_process()  # before any secret is in memory
    os.umask(0o077)
    gc.disable()  # what is imported now stays: looking for garbage in it would delay the start
    import asyncio

    from borrow.daemon.app import run
    from borrow.daemon.logs import log_to, stop_logging
    from borrow.daemon.loops import loop_factory
    from borrow.daemon.places import StateDir, default_state_dir
    from borrow.protocol.errors import BorrowError

    try:
        state = StateDir.open(default_state_dir(os.environ, Path.home()))
        handler = log_to(state / "daemon.log")
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(run(state, ready=_started))
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


def _started(_: Started) -> None:
    gc.freeze()  # and never look at it again
    gc.enable()


def _failed(error: BaseException) -> int:
    sys.stderr.write(f"borrow: error: {error}\n")
    if hint := getattr(error, "hint", ""):
        sys.stderr.write(f"borrow: hint: {hint}\n")
    return 1


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    sys.exit(main())
