"""The entry point `borrow`: turns what happened into an exit code, and starts fast.

`credential` (for `credential_process`) is handed to the standard-library helper before click is
imported: some SDKs run it for every call.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def main() -> None:
    """The console script."""
    _open_streams()
    argv = sys.argv[1:]
    if argv[:1] == ["credential"] and not {"-h", "--help"} & set(argv):
        sys.exit(_credential(argv[1:]))
    sys.exit(run(argv))


def _open_streams() -> None:
    """The null device for each standard stream that came closed (`>&-`).

    Else the next file that is opened gets its number, and what is meant for eyes is written there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


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
    except KeyboardInterrupt:
        from borrow.cli import errors

        return errors.INTERRUPTED
    except Exception as exc:  # noqa: BLE001  as in `run`
        from borrow.cli import errors

        return _failed(errors.internal(exc, _crashes(), now=_now()), argv)
    return credential_process.main(list(argv))


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; tells every error on stderr."""
    if list(argv) == ["hook", "--names"]:
        from borrow.cli.project import names_for_hook

        return names_for_hook()
    if argv[:1] == ["run"] and (code := _run_quickly(argv)) is not None:
        return code
    import click

    from borrow.cli import errors
    from borrow.cli.group import ReaderLeft, borrow
    from borrow.protocol.errors import BorrowError, Unavailable

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
    except ReaderLeft:
        _drop_output()
        return errors.OK
    except OSError as exc:
        if exc.errno not in _NO_ROOM:
            return _failed(errors.internal(exc, _crashes(), now=_now()), argv)
        _drop_output()
        why = os.strerror(exc.errno).lower()
        return _failed(Unavailable(f"cannot write: {why}", hint="is there room? df -h"), [])
    except Exception as exc:  # noqa: BLE001  the last resort: one line, and no secret in it
        return _failed(errors.internal(exc, _crashes(), now=_now()), argv)
    return done if isinstance(done, int) else errors.OK


def _run_quickly(argv: Sequence[str]) -> int | None:
    """A usual `borrow run` without click, whose import takes longer than all of it; or None."""
    from borrow.cli import quickrun
    from borrow.protocol.errors import BorrowError

    line = quickrun.read(argv[1:])
    if line is None:
        return None
    try:
        return quickrun.go(line)
    except BorrowError as exc:
        return _failed(exc, argv)
    except KeyboardInterrupt:
        from borrow.cli import errors

        print(file=sys.stderr)
        return errors.INTERRUPTED
    except Exception as exc:  # noqa: BLE001  as in `run`
        from borrow.cli import errors

        return _failed(errors.internal(exc, _crashes(), now=_now()), argv)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _drop_output() -> None:
    """Python would complain once more about what it could not write, while closing stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


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
