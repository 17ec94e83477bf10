"""What one person's whole yes is made of: any one kind that the rule takes, or every one of them.

For tier `critical` it is every one: a passkey and the signature of their own workstation. The first
shows no text, so an approver that was broken into can have it put under something else than what
its page says. The second is given for what the workstation itself read in the signed request, but
by a key that any program of that person can use. Whoever broke into one of the two has half a yes.
Two halves of two people are none either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.policy.model import DEVICE, PASSKEY, Tier

if TYPE_CHECKING:
    from collections.abc import Collection

    from borrow.policy.model import Approve

CRITICAL: Final = frozenset({PASSKEY, DEVICE})


def takes_every(tier: Tier) -> bool:
    """Whether a yes for a role of `tier` takes every kind, not one of them."""
    return tier is Tier.CRITICAL


def never_whole(approve: Approve, tier: Tier) -> bool:
    """Whether no yes in this way could ever be whole for a role of `tier`.

    So it is for `auto`, which asks nobody, and for `self`: one's own device is not another's.
    """
    return takes_every(tier) and not approve.factors >= CRITICAL


def is_whole(kinds: Collection[str], given: Collection[str], *, every: bool) -> bool:
    """Whether somebody who gave `given` said yes. Nothing given, or nothing taken, is never one."""
    counted = frozenset(kinds) & frozenset(given)
    return bool(counted) and (not every or counted == frozenset(kinds))


def missing(kinds: Collection[str], given: Collection[str], *, every: bool) -> tuple[str, ...]:
    """What is still to come from somebody who gave `given`, sorted; () if their yes is whole."""
    if is_whole(kinds, given, every=every):
        return ()
    return tuple(sorted(frozenset(kinds) - frozenset(given)))
