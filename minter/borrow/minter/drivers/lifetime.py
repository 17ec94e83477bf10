"""How long a session is asked for, and when the credential made of it ends. Pure.

Three ends meet: the grant's, the credential's own life (`mint`), and STS's floor of 900 s. Below
the floor the session policy ends what STS will not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.protocol.errors import Refused, Unavailable

if TYPE_CHECKING:
    from borrow.minter.drivers.base import GrantFacts, Target

SHORTEST = 900  # seconds; STS's floor for AssumeRole*
LONGEST = 43_200  # seconds; its ceiling


@dataclass(frozen=True, slots=True)
class Span:
    """`seconds` is DurationSeconds; from `ends_at` (unix seconds) on the session policy denies."""

    seconds: int
    ends_at: int


def plan(target: Target, grant: GrantFacts, now: float) -> Span:
    """Raises Refused (state `grant_exhausted`) if not even one second of the grant is left."""
    end = math.floor(grant.expires_at)
    if end <= now:
        raise Refused("the grant has ended", state="grant_exhausted")
    wishes = [target.mint_seconds, grant.seconds_wanted]
    wanted = min([math.ceil(end - now), *(wish for wish in wishes if wish > 0)])
    if wanted < SHORTEST:  # STS will not: the policy ends it
        end = min(end, math.floor(now + wanted))
    return Span(min(max(wanted, SHORTEST), LONGEST), end)


def credential_end(span: Span, stated: float, now: float) -> int:
    """When the credential ends, given that STS `stated` an Expiration and answered at `now`.

    Never past the grant, nor longer than asked whatever STS says. An Expiration that has passed is
    Unavailable: a wrong clock somewhere, and no credential that would work.
    """
    end = min(math.floor(stated), span.ends_at, math.floor(now) + span.seconds)
    if end <= now:
        raise Unavailable(
            "the cloud handed out a session that had already ended",
            hint="compare the clock of the minter with the cloud's",
            retry_after=5.0,
        )
    return end
