"""A cloud driver that counts, and does in the middle of a call whatever a test wants."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.protocol.credentials import AwsCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.minter.drivers.base import GrantFacts, Target

SECRET = "CANARY-secret-access-key"
TOKEN = "CANARY-session-token"


@dataclass(slots=True)
class CountingDriver:
    """Every call is one session, numbered; `during` runs inside of it and may raise."""

    clock: Callable[[], float]
    seconds: int = 3_600
    during: Callable[[], None] | None = None
    calls: list[tuple[Target, GrantFacts]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mint(self, target: Target, grant: GrantFacts) -> AwsCredentials:
        with self._lock:
            self.calls.append((target, grant))
            number = len(self.calls)
        if self.during is not None:
            self.during()
        return AwsCredentials(
            access_key_id=f"ASIAFAKE{number:012}",
            secret_access_key=f"{SECRET}-{number}",
            session_token=f"{TOKEN}-{number}",
            expires_at=int(self.clock()) + self.seconds,
        )
