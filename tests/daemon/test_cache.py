"""What may be served: properties over any order of grants, credentials, ends and late answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from borrow.daemon.cache import (
    LEASES,
    Cache,
    Grant,
    Mint,
    Nothing,
    OutOfContact,
    Serve,
)
from borrow.daemon.moments import Deadline, Moment
from borrow.protocol.credentials import AwsCredentials

NOW = Moment(1_000_000.0, 500.0)


def later(seconds: float, now: Moment = NOW) -> Moment:
    return Moment(now.wall + seconds, now.boot + seconds)


def a_grant(name: str = "g-1", group: str = "r:1:1", seconds: float = 3600.0, **more: str) -> Grant:
    grant = Grant(name, "r-1", "r", "arn", group, "normal", "session", "peer", _end(seconds))
    return replace(grant, **more)  # type: ignore[arg-type]  # only text fields are changed


def _end(seconds: float, now: Moment = NOW) -> Deadline:
    return Deadline.at(now.wall + seconds, now)


def secret(seconds: float = 3600.0, now: Moment = NOW, **more: str) -> AwsCredentials:
    whole = AwsCredentials("ASIA", "s", "t", int(now.wall + seconds))
    return replace(whole, **more)  # type: ignore[arg-type]  # only text fields are changed


def filled(grant: Grant, credential_seconds: float = 3600.0) -> Cache:
    cache = Cache()
    assert cache.open(grant, NOW)
    assert cache.put(grant.grant_id, secret(credential_seconds), NOW)
    return cache


def test_a_credential_is_served_to_the_group_that_asked() -> None:
    found = filled(a_grant()).look("r", "r:1:1", NOW, None)
    assert isinstance(found, Serve)
    assert not found.shared


def test_another_group_gets_nothing_of_a_session_grant() -> None:
    assert filled(a_grant()).look("r", "r:2:2", NOW, None) == Nothing()


def test_a_device_grant_is_shared_but_never_with_an_agent() -> None:
    cache = filled(a_grant(share="device"))
    found = cache.look("r", "r:2:2", NOW, None)
    assert isinstance(found, Serve)
    assert found.shared
    assert cache.look("r", "r:2:2", NOW, None, may_share=False) == Nothing()


def test_a_grant_at_its_end_is_nothing_so_that_nobody_tries_to_mint_with_it() -> None:
    cache = filled(a_grant(seconds=3600))
    assert cache.look("r", "r:1:1", later(3600), None) == Nothing()


@pytest.mark.parametrize("clock", ["wall", "boot"])
def test_the_earlier_of_both_clocks_ends_a_credential(clock: str) -> None:
    cache = filled(a_grant(seconds=7200))
    jumped = NOW._replace(**{clock: getattr(NOW, clock) + 3600.0})
    assert isinstance(cache.look("r", "r:1:1", jumped, None), Mint)


def test_a_wall_clock_put_back_lengthens_nothing() -> None:
    cache = filled(a_grant(seconds=100), 100)
    put_back = Moment(NOW.wall - 10_000, NOW.boot + 100)
    assert cache.look("r", "r:1:1", put_back, None) == Nothing()


@pytest.mark.parametrize("tier", sorted(LEASES))
def test_a_sensitive_role_is_served_only_within_its_lease(tier: str) -> None:
    cache = filled(a_grant(tier=tier))
    lease = LEASES[tier]
    assert isinstance(cache.look("r", "r:1:1", NOW, None), OutOfContact)
    assert isinstance(cache.look("r", "r:1:1", later(lease - 1), NOW), Serve)
    assert isinstance(cache.look("r", "r:1:1", later(lease), NOW), OutOfContact)
    suspended = Moment(NOW.wall + 1, NOW.boot + lease)
    assert isinstance(cache.look("r", "r:1:1", suspended, NOW), OutOfContact)


def test_nothing_that_is_not_whole_is_kept() -> None:
    cache = Cache()
    cache.open(a_grant(), NOW)
    assert not cache.put("g-1", secret(access_key_id=""), NOW)
    assert not cache.put("g-1", secret(secret_access_key=""), NOW)
    assert not cache.put("g-1", secret(session_token=""), NOW)
    assert not cache.put("g-1", secret(-1), NOW)
    assert not cache.put("g-1", secret(0), NOW)


def test_a_revocation_of_an_unknown_grant_stops_its_late_answer() -> None:
    cache = Cache()
    cache.end("g-1", NOW)
    assert not cache.open(a_grant(), later(1))
    assert not cache.put("g-1", secret(), later(1))


def test_a_short_credential_is_not_renewed_at_every_call() -> None:
    cache = filled(a_grant(), 900)
    fresh = cache.look("r", "r:1:1", later(10), None)
    assert isinstance(fresh, Serve)
    assert not fresh.refresh
    old = cache.look("r", "r:1:1", later(460), None)
    assert isinstance(old, Serve)
    assert old.refresh


def test_a_credential_that_lives_as_long_as_its_grant_is_not_renewed() -> None:
    found = filled(a_grant()).look("r", "r:1:1", later(3500), None)
    assert isinstance(found, Serve)
    assert not found.refresh


def test_secrets_hide_in_repr() -> None:
    cache = filled(a_grant(token="canary-token"))
    found = cache.look("r", "r:1:1", NOW, None)
    assert "canary" not in repr(found)
    assert "ASIA" not in repr(found)


@given(
    grant_seconds=st.integers(1, 90_000),
    credential_seconds=st.integers(1, 90_000),
    passed=st.integers(0, 100_000),
    skew=st.integers(-100_000, 100_000),
)
def test_nothing_is_served_at_or_after_its_end(
    grant_seconds: int, credential_seconds: int, passed: int, skew: int
) -> None:
    cache = Cache()
    cache.open(a_grant(seconds=grant_seconds), NOW)
    cache.put("g-1", secret(credential_seconds), NOW)
    now = Moment(NOW.wall + passed + skew, NOW.boot + passed)  # a wall clock that is set
    found = cache.look("r", "r:1:1", now, None)
    if isinstance(found, Serve):
        assert passed < grant_seconds
        assert passed < credential_seconds
        assert now.wall < found.held.credentials.expires_at


class AnyOrder(RuleBasedStateMachine):
    """Whatever order things arrive in, nothing of an ended grant is served before its end."""

    grants = Bundle("grants")

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.now = NOW
        self.ended: dict[str, float] = {}
        self.ends: dict[str, float] = {}
        self.count = 0

    @rule(target=grants, seconds=st.sampled_from([30.0, 900.0, 3600.0]))
    def name(self, seconds: float) -> str:
        self.count += 1
        name = f"g-{self.count}"
        self.ends[name] = self.now.wall + seconds
        return name

    @rule(name=grants)
    def open(self, name: str) -> None:
        left = self.ends[name] - self.now.wall
        grant = replace(a_grant(name), ends=_end(left, self.now))
        taken = self.cache.open(grant, self.now)
        assert not (taken and (name in self.ended or left <= 0))

    @rule(name=grants, seconds=st.sampled_from([10.0, 900.0, 4000.0]))
    def put(self, name: str, seconds: float) -> None:
        self.cache.put(name, secret(seconds, self.now), self.now)

    @rule(name=grants)
    def end(self, name: str) -> None:
        self.cache.end(name, self.now)
        self.ended[name] = self.now.wall

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0, 899.0, 901.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.now = later(seconds, self.now)

    @rule()
    def sweep(self) -> None:
        self.cache.sweep(self.now)

    @invariant()
    def nothing_ended_is_served(self) -> None:
        found = self.cache.look("r", "r:1:1", self.now, self.now)
        if isinstance(found, Serve | Mint | OutOfContact):
            assert found.grant.grant_id not in self.ended
            assert self.now.wall < self.ends[found.grant.grant_id]


TestAnyOrder = AnyOrder.TestCase
