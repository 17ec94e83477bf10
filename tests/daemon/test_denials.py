"""What a no is worth afterwards."""

from __future__ import annotations

import pytest

from borrow.daemon.denials import Denials
from borrow.daemon.moments import Moment
from borrow.protocol.errors import Refused, Untrusted

NOW = Moment(1_000_000.0, 500.0)


def after(seconds: float) -> Moment:
    return Moment(NOW.wall + seconds, NOW.boot + seconds)


@pytest.mark.parametrize(
    ("state", "lasts"), [("denied", 900), ("revoked", 900), ("policy", 30), ("expired", 30)]
)
def test_a_persons_no_holds_fifteen_minutes_and_others_thirty_seconds(
    state: str, lasts: float
) -> None:
    denials = Denials()
    denials.remember("g", Refused("no", state=state), NOW)
    assert denials.recall("g", after(lasts - 1)) is not None
    assert denials.recall("g", after(lasts)) is None
    assert denials.recall("other", NOW) is None


def test_only_a_new_reason_opens_the_way() -> None:
    denials = Denials()
    denials.remember("g", Refused("no", state="denied"), NOW, reason="please")
    assert denials.recall("g", NOW, new_reason="please") is not None
    assert denials.recall("g", NOW, new_reason="INC-1") is None


def test_an_error_is_remembered_for_five_seconds() -> None:
    denials = Denials()
    denials.remember_failure("g", Untrusted("odd"), NOW)
    assert denials.recall("g", after(4)) is not None
    assert denials.recall("g", after(4), new_reason="") is None  # a person tries again
    assert denials.recall("g", after(5)) is None


def test_a_yes_and_a_sweep_forget() -> None:
    denials = Denials()
    denials.remember("g", Refused("no", state="denied"), NOW)
    denials.remember("h", Refused("no", state="policy"), NOW)
    denials.sweep(after(31))
    assert denials.recall("g", after(31)) is not None
    denials.forget("g")
    assert denials.recall("g", NOW) is None
