"""The policy file in use: read again when it changes, put to work only if it passes.

A changed file that does not load, that `check` finds an error in, or whose own tests fail, is told
loudly and the policy before it stays in force. Only the first one has nothing to fall back on.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path  # noqa: TC003  dataclasses read annotations
from typing import TYPE_CHECKING

from borrow.policy.load import load_policy
from borrow.policy.review import check, run_tests
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from borrow.policy.model import Policy

logger = logging.getLogger(__name__)


def read_policy(path: Path, *, missing: str = "borrow setup") -> Policy:
    """The compiled policy in `path`. Raises Misconfigured: missing, unreadable or malformed.

    `missing` is the next step if there is no such file.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise Misconfigured(f"there is no policy file {path}", hint=missing) from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path.name}: not valid UTF-8", hint="save it as UTF-8") from None
    except OSError as exc:
        raise Misconfigured(
            f"cannot read {path}: {(exc.strerror or 'failed').lower()}",
            hint="is it a file, and may you read it?",
        ) from exc
    return load_policy(text, source=path.name)


def passing(policy: Policy, name: str) -> Policy:
    """`policy` itself, or Misconfigured with the first thing that keeps it out of use."""
    for finding in check(policy):
        if finding.level == "error":
            raise Misconfigured(f"{name}: {finding.where}: {finding.what}", hint=finding.hint)
    for result in run_tests(policy):
        if not result.passed:
            line = f" (line {result.line})" if result.line else ""
            raise Misconfigured(
                f"{name}: test {result.number}{line} fails: {result.problems[0]}",
                hint="borrow policy test",
            )
    return policy


class PolicyFile:
    """`current` is called by the minter for each judgement, from several threads."""

    def __init__(self, path: Path) -> None:
        """Raises Misconfigured unless the file passes."""
        self._path = path
        self._lock = threading.Lock()
        self._seen = _mark(path)
        self._policy = passing(read_policy(path), path.name)
        self._trouble: Misconfigured | None = None

    def current(self) -> Policy:
        with self._lock:
            mark = _mark(self._path)
            if mark != self._seen:
                self._seen = mark
                self._reload()
            return self._policy

    def trouble(self) -> Misconfigured | None:
        """Why the file as it is now is not in use, if that is so."""
        self.current()
        return self._trouble

    def _reload(self) -> None:
        try:
            fresh = passing(read_policy(self._path), self._path.name)
        except Misconfigured as exc:
            self._trouble = exc
            logger.error(  # noqa: TRY400  told by itself, a traceback adds nothing
                "the changed policy is not used, the one before stays in force",
                extra={"why": exc.message, "hint": exc.hint},
            )
            return
        self._trouble = None
        self._policy = fresh
        logger.warning("the policy was read again", extra={"hash": fresh.hash[:12]})


def _mark(path: Path) -> tuple[int, int, int]:
    """What changes whenever the file does. A missing file is a mark of its own."""
    try:
        seen = path.stat()
    except OSError:
        return (0, 0, 0)
    return (seen.st_mtime_ns, seen.st_size, seen.st_ino)
