"""Looking for secrets where they may not be: in files, in outputs, in argv and environ.

A secret counts as found in any of the forms in which a log or a dump would have it: as it is,
JSON- or percent-escaped, in base64 or hex.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

LEAST = 6  # characters; anything shorter is found by chance
EVERY = 0.02  # seconds between two looks at the processes


def forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    coded = base64.b64encode(raw).rstrip(b"=")
    return {
        raw,
        json.dumps(secret)[1:-1].encode(),
        quote(secret, safe="").encode(),
        coded,
        coded.replace(b"+", b"-").replace(b"/", b"_"),
        raw.hex().encode(),
    }


class Canaries:
    """Every secret that a test saw, by a name to show instead of it."""

    def __init__(self) -> None:
        self._known: dict[str, set[bytes]] = {}

    def add(self, name: str, secret: str) -> None:
        assert len(secret) >= LEAST, name
        self._known[name] = forms(secret)

    def found_in(self, data: bytes | str) -> set[str]:
        """The names of the secrets in `data`; never the secrets."""
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        return {name for name, known in self._known.items() if any(form in raw for form in known)}

    def found_under(self, roots: Iterable[Path]) -> dict[str, set[str]]:
        """For each file with something in it: the names."""
        found: dict[str, set[str]] = {}
        for root in roots:
            for path in files(root):
                if names := self.found_in(path.read_bytes()):
                    found.setdefault(path.name, set()).update(names)
        return found


def files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


class ProcessWatch:
    """What everybody on the machine may read of the processes of one home, while they lived.

    `mark` is a text that the environment of each of them holds, such as its state directory.
    Processes that are older than the watch are not looked at.
    """

    def __init__(self, mark: str) -> None:
        self.seen: set[tuple[bytes, bytes]] = set()  # (argv, environ)
        self._mark = mark.encode()
        self._old: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._old = set(_numbers())  # not in the thread: that would begin at some later time
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            for number in _numbers():
                if number in self._old:
                    continue
                with contextlib.suppress(OSError):  # gone, or not ours to read
                    environ = Path(f"/proc/{number}/environ").read_bytes()
                    if self._mark in environ:
                        argv = Path(f"/proc/{number}/cmdline").read_bytes()
                        self.seen.add((argv, environ))


def _numbers() -> Iterator[str]:
    return (name for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  polled
