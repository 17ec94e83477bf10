"""`fake`: credentials that look real to a program and open nothing. For the demo and tests.

Everything but the cloud is as in the real drivers: ends, session policy, refusals.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from borrow.minter import session_policy
from borrow.minter.drivers.lifetime import credential_end, plan
from borrow.protocol.credentials import AwsCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.minter.drivers.base import GrantFacts, Target


class FakeDriver:
    """`entropy(n)` gives n random bytes; the same bytes give the same credentials."""

    def __init__(self, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._entropy = entropy

    def mint(self, target: Target, grant: GrantFacts) -> AwsCredentials:
        now = self._clock()
        span = plan(target, grant, now)
        session_policy.build(grant.session_policy, ends_at=span.ends_at, deny_iam=grant.deny_iam)
        # FAKE is spelled out in each part; lengths and alphabets are AWS's.
        return AwsCredentials(
            access_key_id="ASIAFAKE" + base64.b32encode(self._entropy(8)).decode()[:12],
            secret_access_key="FAKE" + base64.b64encode(self._entropy(27)).decode(),
            session_token="FAKE" + base64.b64encode(self._entropy(264)).decode(),
            expires_at=credential_end(span, now + span.seconds, now),
        )
