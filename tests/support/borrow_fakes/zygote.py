"""Runs named tests on a changed copy of a component, many times, each in a fresh process.

What no copy changes is imported once; each run is a fork of that, so it costs what its tests cost.
`Zygote` is the side of the caller. Run as a program, this file is the other one: a line of JSON
with `path` (put first on the import path) and `tests` gives a line with the exit code of pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_OPTIONS = ("-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist")


class Zygote:
    """`with Zygote() as zygote:`; `run` says how pytest ended, and what it wrote."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tempfile.gettempdir(),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.communicate()

    def run(self, path: Path, tests: Sequence[str], output: Path) -> tuple[int, str]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        order = {"path": str(path), "tests": list(tests), "output": str(output)}
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        return int(line or -1), output.read_text(errors="replace") if output.exists() else ""


def _warm_up() -> None:
    import aiohttp.web  # noqa: F401
    import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401
    import joserfc.jwe
    import joserfc.jwt  # noqa: F401
    import pytest  # noqa: F401


def _serve() -> None:
    _warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def _become(order: dict[str, Any]) -> None:
    code = 99
    try:
        handle = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (handle, 1), (handle, 2)):
            os.dup2(old, new)
        sys.path.insert(0, order["path"])
        import pytest

        code = int(pytest.main([*_OPTIONS, *order["tests"]]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
