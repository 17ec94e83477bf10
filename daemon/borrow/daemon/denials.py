"""What was refused a moment ago, so that a client's retries ask nobody again.

SDKs retry a 403 three to eight times in as many seconds, and a program may loop: each retry would
be a prompt. Pure: `now` is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from borrow.daemon.moments import Moment
    from borrow.protocol.errors import BorrowError, Refused

# Seconds. A person's no holds for programs this long (POLICY "Behaviour" 6); other refusals only
# for a client's retries, because the policy may be changed meanwhile.
BY_A_PERSON: Final = 900.0
OTHERWISE: Final = 30.0
AN_ERROR: Final = 5.0

_SOON_OVER: Final = frozenset({"expired", "expired_token", "lapsed", "policy", "throttled"})
_SOON_OVER_TOO: Final = frozenset(
    {"agent_budget", "cancelled", "wrong_state", "clock_skew", "frozen"}
)
_BY_NOBODY: Final = frozenset({"frozen"})  # it may be over, and asking again asks no person


@dataclass(frozen=True, slots=True)
class _Denial:
    error: Refused
    reason: str
    at: Moment
    lasts: float


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BorrowError
    at: Moment


class Denials:
    """Refusals and errors by caller group."""

    def __init__(self) -> None:
        self._denied: dict[str, _Denial] = {}
        self._failed: dict[str, _Failure] = {}

    def remember(self, group: str, error: Refused, now: Moment, *, reason: str = "") -> None:
        """`reason` is what the refused request gave as its own."""
        short = error.state in _SOON_OVER or error.state in _SOON_OVER_TOO
        self._denied[group] = _Denial(error, reason, now, OTHERWISE if short else BY_A_PERSON)

    def remember_failure(self, group: str, error: BorrowError, now: Moment) -> None:
        self._failed[group] = _Failure(error, now)

    def recall(
        self, group: str, now: Moment, *, new_reason: str | None = None
    ) -> BorrowError | None:
        """The answer to give without asking anybody, or None.

        `new_reason` is what a person typed into a deliberate ask, maybe nothing: one that was not
        refused yet opens the way again, and so does anything where no person said no; an error
        of a moment ago may have been mended.
        """
        if new_reason is None and (failed := self.failure(group, now)):
            return failed
        denied = self._denied.get(group)
        if denied is None or now.since(denied.at) >= denied.lasts:
            return None
        if new_reason is not None and denied.error.state in _BY_NOBODY:
            return None
        if new_reason and new_reason != denied.reason:
            return None
        return denied.error

    def failure(self, group: str, now: Moment) -> BorrowError | None:
        """The error of a moment ago, whatever was refused: what a fetch inside a grant looks at."""
        failed = self._failed.get(group)
        return failed.error if failed and now.since(failed.at) < AN_ERROR else None

    def forget(self, group: str) -> None:
        """Somebody said yes since, or a deliberate ask goes out."""
        self._denied.pop(group, None)
        self._failed.pop(group, None)

    def sweep(self, now: Moment) -> None:
        for group in [g for g, each in self._denied.items() if now.since(each.at) >= each.lasts]:
            del self._denied[group]
        for group in [g for g, each in self._failed.items() if now.since(each.at) >= AN_ERROR]:
            del self._failed[group]
