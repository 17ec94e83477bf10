"""What a whole yes is made of: any kind, or every one."""

from __future__ import annotations

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from borrow.policy.model import FACTORS, Tier
from borrow.policy.whole import CRITICAL, is_whole, missing, takes_every

KINDS = ("passkey", "device", "totp", "consent", "session", "policy", "")
some = st.frozensets(st.sampled_from(KINDS))


def test_only_tier_critical_takes_every_kind() -> None:
    assert [tier for tier in Tier if takes_every(tier)] == [Tier.CRITICAL]


def test_no_mode_in_which_one_answers_for_oneself_takes_what_critical_needs() -> None:
    assert [mode.value for mode, kinds in FACTORS.items() if set(kinds) >= CRITICAL] == ["peer"]


def test_of_all_that_one_can_give_only_both_are_a_critical_yes() -> None:
    subsets = chain.from_iterable(combinations(KINDS, n) for n in range(len(KINDS) + 1))
    for given_kinds in subsets:
        both = {"passkey", "device"} <= set(given_kinds)
        assert is_whole(CRITICAL, given_kinds, every=True) == both


@given(some, some, st.booleans())
def test_a_yes_is_whole_or_something_is_missing(
    kinds: frozenset[str], said: frozenset[str], every: bool
) -> None:
    whole = is_whole(kinds, said, every=every)
    lacks = missing(kinds, said, every=every)
    assert not (whole and lacks)
    assert whole or lacks or not kinds  # of nothing no yes is made
    assert is_whole(kinds, said | set(lacks), every=every) == bool(kinds)
    assert not whole or said & kinds


@given(some, some, some, st.booleans())
def test_more_evidence_never_takes_a_yes_away(
    kinds: frozenset[str], said: frozenset[str], more: frozenset[str], every: bool
) -> None:
    if is_whole(kinds, said, every=every):
        assert is_whole(kinds, said | more, every=every)
