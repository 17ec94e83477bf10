"""What every cloud driver is given and gives back. Values only; it decides nothing.

A driver turns a grant that the authority has checked into one short session. It knows no database,
no approval and no device; what it may not exceed (the grant's end) is in `GrantFacts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from borrow.protocol.credentials import AwsCredentials

Chain = Literal["identity", "name", "none"]


@dataclass(frozen=True, slots=True)
class Target:
    """The role a session is for, as the minter's own policy names it."""

    name: str  # what people borrow and read
    arn: str
    account: str  # label for people, never used to find the role
    region: str  # '' = the driver's own
    chain: Chain  # what of the grant the session may carry (DESIGN "chain")
    tier: str
    mint_seconds: int  # life of one credential; 0 = as long as the grant lives


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """One active grant. `expires_at` is its end in unix seconds: no credential reaches past it."""

    grant_id: str
    request_id: str
    person: str
    mode: str  # auto | self | peer
    rule: str
    approvers: tuple[str, ...]
    expires_at: float
    seconds_wanted: int = 0  # less than the target's mint_seconds; 0 = no wish
    session_policy: str = ""  # the client's own, JSON; '' = none
    deny_iam: bool = False
    agent: str = ""  # the coding agent that asked, by its own claim; '' = a person


class Driver(Protocol):
    """Sync and thread-safe: the authority calls it outside its transaction."""

    def mint(self, target: Target, grant: GrantFacts) -> AwsCredentials:
        """One session of `target`, ending at the grant's end at the latest.

        Raises Refused (state `cloud_refused`), Unavailable or Misconfigured, and nothing else.
        """
        ...
