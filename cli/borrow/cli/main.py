"""The entry point `borrow`: turns what happened into an exit code, and starts fast.

`credential` (for `credential_process`) is handed to the standard-library helper before click is
imported: some SDKs run it for every call.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def main() -> None:
    """The console script."""
    argv = sys.argv[1:]
    if argv[:1] == ["credential"] and not {"-h", "--help"} & set(argv):
        sys.exit(_credential(argv[1:]))
    sys.exit(run(argv))


def _credential(argv: Sequence[str]) -> int:
    """The helper, after the daemon was started if it did not run. No click on this way."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import control, start
    from borrow.daemon import credential_process
    from borrow.protocol.errors import BorrowError

    try:
        home = open_home()
        if not control(home).is_up():
            start(home)
    except BorrowError as exc:
        return _failed(exc, argv)
    return credential_process.main(list(argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; tells every error on stderr."""
    import click

    from borrow.cli import errors
    from borrow.cli.group import borrow
    from borrow.protocol.errors import BorrowError

    try:
        done = borrow.main(args=list(argv), prog_name="borrow", standalone_mode=False)
    except BorrowError as exc:
        return _failed(exc, argv)
    except click.UsageError as exc:
        from borrow.cli.usage import corrected

        return _failed(corrected(exc, argv), argv)
    except click.ClickException as exc:
        return _failed(errors.WrongUse(exc.format_message()), argv)
    except (KeyboardInterrupt, click.Abort):
        print(file=sys.stderr)
        return errors.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left. Python would complain once more while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except Exception as exc:  # noqa: BLE001  the last resort: one line, and no secret in it
        return _failed(errors.internal(exc, _crashes(), now=_now()), argv)
    return done if isinstance(done, int) else errors.OK


def _failed(error: Exception, argv: Sequence[str]) -> int:
    from borrow.cli import errors
    from borrow.protocol.errors import BorrowError

    assert isinstance(error, BorrowError)  # noqa: S101  narrows for the type checker
    if wants_json(argv):
        from borrow.cli import say

        say.document(errors.error_json(error))
    errors.tell(error)
    return errors.exit_code(error)


def wants_json(argv: Sequence[str]) -> bool:
    """`--json` stands before `--`: after it, it belongs to the borrowed command."""
    ours = list(argv)
    return "--json" in (ours[: ours.index("--")] if "--" in ours else ours)


def _crashes() -> Path | None:
    """The state directory, if it is there and private; never made for a crash."""
    from borrow.cli.home import open_home
    from borrow.protocol.errors import BorrowError

    try:
        return open_home().state.path
    except (BorrowError, OSError):
        return None


def _now() -> float:
    import time

    return time.time()  # noqa: TID251  the edge: the name of a crash file


if __name__ == "__main__":
    main()
