"""What doctor says of given facts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from borrow.cli import checks
from borrow.cli.client import NOT_RUNNING
from borrow.protocol.errors import Misconfigured, Unavailable


def levels(found: object) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in found]  # type: ignore[attr-defined]


def test_variables_that_would_win_are_named_and_no_value_is_shown() -> None:
    (found,) = checks.environment({"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_PROFILE": "x"})
    assert found.hint == "unset AWS_ACCESS_KEY_ID AWS_PROFILE"
    assert "CANARY" not in str(found.as_dict())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_without_an_exception_for_loopback_is_a_warning(name: str) -> None:
    assert levels(checks.environment({name: "http://p"})) == [("warning", "proxy")]
    assert levels(checks.environment({name: "http://p", "NO_PROXY": "127.0.0.1"})) == []
    assert levels(checks.environment({name: "http://p", "no_proxy": "*"})) == []


def test_a_default_profile_with_a_way_to_credentials_is_a_warning() -> None:
    found = checks.aws_files(frozenset({"region", "sso_session"}), region=True, variables={})
    assert levels(found) == [("warning", "default_profile")]
    assert levels(checks.aws_files(frozenset(), region=False, variables={})) == [
        ("warning", "no_region")
    ]
    assert not levels(
        checks.aws_files(frozenset(), region=False, variables={"AWS_DEFAULT_REGION": "x"})
    )


def test_those_whom_nothing_tells_of_a_request_are_named() -> None:
    assert [f.level for f in checks.channels(["bea@example.com"])] == ["warning"]
    assert list(checks.channels(None)) == list(checks.channels([])) == []


def test_a_stranger_on_our_port_is_an_error() -> None:
    assert levels(checks.endpoint(7, 7, 4321)) == [("ok", "port")]
    assert levels(checks.endpoint(8, 7, 4321)) == [("error", "port")]
    assert levels(checks.endpoint(None, 7, 4321)) == [("warning", "port")]
    assert levels(checks.endpoint(None, None, 0)) == []


def test_a_daemon_that_is_off_is_fine_and_a_strangers_socket_is_not() -> None:
    assert levels(checks.daemon(None, Unavailable("off", state=NOT_RUNNING))) == [("ok", "daemon")]
    assert levels(checks.daemon(None, Misconfigured("other uid"))) == [("error", "daemon")]


def test_lost_contact_matters_while_something_is_lent() -> None:
    lent = {"pid": 1, "grants": [{}], "contact_age": 500.0}
    assert ("warning", "contact") in levels(checks.daemon(lent, None))
    assert levels(checks.daemon(lent | {"grants": []}, None)) == [("ok", "daemon")]


@pytest.mark.parametrize(
    ("skew", "level"), [(0.0, "ok"), (-60.0, "ok"), (61.0, "error"), (-3600.0, "error")]
)
def test_clocks_may_differ_by_a_minute(skew: float, level: str) -> None:
    (found,) = checks.approver(skew, "")
    assert found.level == level


def test_a_disk_without_room_is_an_error() -> None:
    here, seen = Path("/"), os.statvfs("/")
    fields = [*seen]
    assert levels(checks.room(here, os.statvfs_result(fields), root=False)) == []
    fields[4] = 0  # f_bavail: what is left to everybody but root
    full = os.statvfs_result(fields)
    assert levels(checks.room(here, full, root=False)) == [("error", "room")]
    assert levels(checks.room(here, full, root=True)) == []
