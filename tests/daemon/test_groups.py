"""Who a program speaks for, and for how long."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.caller import session_of
from borrow.daemon.groups import Bearers, Group
from borrow.daemon.places import write_private

if TYPE_CHECKING:
    from pathlib import Path


def make(path: Path, *, alive: bool = True, keep: bool = True) -> Bearers:
    return Bearers(path / "b.json", clock=lambda: 0.0, keep=keep, alive=lambda sid, start: alive)


ANNS = Group("prod", 10, 20, "/dev/pts/1")


def test_a_group_is_a_role_in_a_session_and_an_agent_is_one_of_its_own() -> None:
    assert ANNS.id == "prod:10:20"
    assert Group("prod", 10, 20, agent="claude-code").id == "prod:10:20:claude-code"
    assert Group("prod").id == "imds"
    assert ANNS.same_session(ANNS.for_role("dev").id)
    assert not ANNS.same_session(Group("dev", 10, 21).id)
    assert not ANNS.same_session(Group("dev", 10, 20, agent="x").id)
    assert not Group("work").same_session("imds")


def test_the_holders_of_a_grant_are_named_by_its_groups_id() -> None:
    agent = Group("prod", 10, 20, agent="claude-code")
    for group in (ANNS, agent):
        found = Group.named("prod", group.id)
        assert found == Group("prod", 10, 20, agent=group.agent)
        assert found.id == group.id
    for odd in ("imds", "", "prod:10", "prod:x:20"):
        assert Group.named("prod", odd) == Group("prod")


async def test_a_bearer_is_known_with_its_reason_also_after_a_restart(tmp_path: Path) -> None:
    token = make(tmp_path).issue(ANNS, reason="restore", ticket="T-1", seconds=60)
    found = await make(tmp_path).find(token)
    assert found is not None
    assert (found.group, found.reason, found.ticket, found.seconds) == (ANNS, "restore", "T-1", 60)
    assert found.group.tty == "/dev/pts/1"
    assert await make(tmp_path).find(f"Bearer {token}") is not None


async def test_a_bearer_ends_with_its_session(tmp_path: Path) -> None:
    token = make(tmp_path).issue(ANNS)
    assert await make(tmp_path, alive=False).find(token) is None
    assert await make(tmp_path).find(token) is None  # and does not come back


async def test_a_later_bearer_of_a_group_leaves_the_earlier_good(tmp_path: Path) -> None:
    bearers = make(tmp_path)
    first, second = bearers.issue(ANNS), bearers.issue(ANNS)
    assert first != second
    assert await bearers.find(first) is not None


async def test_without_the_kernels_word_bearers_end_with_the_daemon(tmp_path: Path) -> None:
    token = make(tmp_path).issue(ANNS)
    assert await make(tmp_path, keep=False).find(token) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"v": 2}', '{"v": 1, "bearers": [{}]}'])
async def test_a_file_of_another_shape_holds_no_bearer(tmp_path: Path, content: str) -> None:
    write_private(tmp_path / "b.json", content.encode())
    bearers = make(tmp_path)
    assert len(bearers) == 0
    assert await bearers.find("x") is None


async def test_a_real_session_is_asked_of_the_kernel(tmp_path: Path) -> None:
    session = session_of(os.getpid())
    assert session is not None
    bearers = Bearers(tmp_path / "b.json", clock=lambda: 0.0, keep=True)
    token = bearers.issue(Group("prod", session.sid, session.leader_start))
    gone = bearers.issue(Group("prod", session.sid, session.leader_start + 1))
    if session.leader_start:
        assert await bearers.find(token) is not None
    assert await bearers.find(gone) is None
