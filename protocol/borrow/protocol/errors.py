"""The error tree of every room, divided by what the caller does next.

BorrowError
├── Refused        somebody or some rule said no; show the reason, do not retry
├── Needs          the rule wants more from the person first (reason, ticket); ask, then retry
├── Unavailable    the other side did not answer; retry with a pause
├── Untrusted      malformed, forged or replayed; drop and record
└── Misconfigured  only the user can fix it; `hint` says how

`state` is the stable word machines read (`borrow_state` on the wire, PROTOCOL "Errors"); the
message is fit to be shown to a person: lower-case, no full stop. Nothing here knows HTTP.
"""

from __future__ import annotations

from typing import ClassVar


class BorrowError(Exception):
    """Any expected failure. `state` overrides the class's word where one class has several."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "", state: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.state = state or self.code

    @property
    def message(self) -> str:
        return str(self)


class Refused(BorrowError):
    """A person or a rule said no. `request` names the request it happened to, if there is one."""

    code = "refused"

    def __init__(self, message: str, *, hint: str = "", state: str = "", request: str = "") -> None:
        super().__init__(message, hint=hint, state=state)
        self.request = request


class Needs(BorrowError):
    """The rule wants `fields` (of: reason, ticket) first; `rules` says what each must look like."""

    code = "needs"

    def __init__(self, message: str, *, fields: dict[str, str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.fields = fields


class Unavailable(BorrowError):
    """The other side did not answer, or not now. `retry_after` is in seconds."""

    code = "unavailable"

    def __init__(
        self, message: str, *, hint: str = "", state: str = "", retry_after: float = 1.0
    ) -> None:
        super().__init__(message, hint=hint, state=state)
        self.retry_after = retry_after


class Untrusted(BorrowError):
    """Malformed, forged, stale or replayed input. The message never echoes the input."""

    code = "untrusted"


class Misconfigured(BorrowError):
    """Only the user can fix it; `hint` says how."""

    code = "misconfigured"
