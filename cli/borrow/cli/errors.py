"""From errors to what a person and a script get: two lines on stderr, and an exit code.

One place for every command. A known error (`BorrowError`, wrong use) is told in its own words; an
unknown one is named by its type alone, because its text could hold anything, a secret among it.
Its traceback, without text and locals, goes to a private file in the state directory.

    exit code   meaning
    0           done
    1           an error; the hint says what to do
    2           wrong use; the hint is the corrected line
    3           refused, by a person or by the policy
    4           nobody answered in time, or a part of Borrow cannot be reached
    126, 127    `borrow run`: the command is not executable, or was not found
    130         interrupted; a request that was open stays open
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNAVAILABLE: Final = 4
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
INTERRUPTED: Final = 130

MAX_CRASHES = 20  # files kept; a crash loop must not fill the disk
DOCTOR = "`borrow doctor --report` collects what helps to find the cause"


class WrongUse(Misconfigured):
    """The command line itself is wrong; `hint` is the corrected line."""

    code = "usage"


class NotRunnable(Misconfigured):
    """`borrow run` cannot start its command; `exit_code` as shells have it."""

    code = "not_runnable"

    def __init__(self, message: str, *, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def exit_code(error: BorrowError) -> int:
    match error:
        case NotRunnable():
            return error.exit_code
        case WrongUse() | Needs():
            return USAGE
        case Refused():
            return REFUSED
        case Unavailable():
            return UNAVAILABLE
        case _:
            return ERROR


def default_hint(error: BorrowError) -> str:
    """No error leaves a person without a next step."""
    match error:
        case Refused(request=str(request)) if request:
            return f"`borrow explain {request}` says more"
        case Refused():
            return "`borrow roles` lists what you may borrow"
        case Unavailable():
            return "try again in a moment; `borrow doctor` looks for the cause"
        case Untrusted():
            return "`borrow doctor` checks this workstation"
        case _:
            return "see `borrow --help`"


def error_lines(error: BorrowError) -> tuple[str, str]:
    hint = error.hint or default_hint(error)
    return f"borrow: error: {shown(error.message, 600)}", f"borrow: hint: {shown(hint, 600)}"


def error_json(error: BorrowError) -> dict[str, Any]:
    body: dict[str, Any] = {
        "state": error.state,
        "message": error.message,
        "hint": error.hint or default_hint(error),
    }
    if isinstance(error, Refused) and error.request:
        body["request"] = error.request
    if isinstance(error, Needs):
        body["fields"] = error.fields
    return {"error": body}


def tell(error: BorrowError, stream: TextIO | None = None) -> None:
    """The two lines. `stream` is stderr unless given."""
    with contextlib.suppress(OSError):  # nowhere to write: the exit code still tells
        print(*error_lines(error), sep="\n", file=stream or sys.stderr, flush=True)


def internal(exc: BaseException, crashes: Path | None, *, now: float) -> BorrowError:
    """What an uncaught exception becomes; writes the crash file if there is a place for it."""
    if crashes is not None:
        write_crash(exc, crashes, now=now)
    if isinstance(exc, OSError) and isinstance(exc.filename, str) and exc.strerror:
        # The system's own words about a path: what a person can act on, and nothing that was read.
        return Unavailable(
            f"cannot use {exc.filename}: {exc.strerror.lower()}",
            hint="check who owns it, whether it is what it should be, and whether there is room",
        )
    return BorrowError(f"internal error ({type(exc).__name__})", hint=DOCTOR)


def crash_lines(exc: BaseException) -> Iterator[str]:
    """Types and places, the oldest cause first: no messages, no locals, so no secrets.

    The members of a group (a task group's failures) come before the group, which says nothing.
    """
    chain: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in chain and len(chain) < 10:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for one in reversed(chain):
        if isinstance(one, BaseExceptionGroup):
            for member in one.exceptions[:5]:
                yield from crash_lines(member)
        yield f"{type(one).__module__}.{type(one).__qualname__}"
        for frame in traceback.extract_tb(one.__traceback__)[-40:]:
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}"


def write_crash(exc: BaseException, folder: Path, *, now: float) -> None:
    """A 0600 file `crash-<unix seconds>-<pid>.txt`; failing to write it is no second error."""
    name = f"crash-{int(now)}-{os.getpid()}.txt"
    with contextlib.suppress(OSError):
        for old in sorted(folder.glob("crash-*.txt"))[: -MAX_CRASHES + 1]:
            old.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / name, flags, 0o600), "w") as out:
            out.write("\n".join(crash_lines(exc)) + "\n")
