"""A daemon that is killed comes back by itself; one that was stopped stays stopped."""

from __future__ import annotations

import os
import signal
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from borrow.cli.revival import COUNT, MOST
from borrow_fakes.lab import wait_for
from borrow_fakes.solo_mode import POLICY, set_up

if TYPE_CHECKING:
    from borrow_fakes.lab import Home


@pytest.fixture
def running(fresh: Home) -> Home:
    set_up(fresh, POLICY)
    return fresh.start()


def another(one: Home, before: int) -> int:
    """The pid of a daemon that answers and is not `before`."""

    def found() -> int:
        with suppress(OSError, KeyError, ValueError):
            pid = one.daemon_pid()
            return pid if pid != before else 0
        return 0

    return wait_for(found, seconds=60, why="the daemon to come back")


def kill(pid: int) -> None:
    """As the kernel does when memory is short: nothing else is told or ended."""
    os.kill(pid, signal.SIGKILL)


def fetched(bearer: dict[str, str]) -> int:
    """The status of a call by what a program was lent."""
    url, token = bearer.values()
    call = urllib.request.Request(url, headers={"Authorization": token})
    with urllib.request.urlopen(call, timeout=30) as answer:
        return int(answer.status)


def test_a_killed_daemon_comes_back_and_serves_what_was_lent_before(running: Home) -> None:
    bearer = running.bearer("dev-read")
    assert fetched(bearer) == 200
    pid = running.daemon_pid()
    for _ in range(2):  # the one that came back is watched over too
        kill(pid)
        pid = another(running, pid)
        assert fetched(bearer) == 200  # at the same port, by the same bearer
    assert len(running.revival()) == 1


@pytest.mark.parametrize("how", ["borrow daemon stop", "SIGTERM"])
def test_a_stopped_daemon_stays_stopped(running: Home, how: str) -> None:
    (waits,) = running.revival()
    if how == "SIGTERM":
        os.kill(running.daemon_pid(), signal.SIGTERM)
    else:
        running.borrow("daemon", "stop")
    wait_for(lambda: not running.revival(), why="nothing to wait for it any more")
    assert not os.path.exists(f"/proc/{waits}/cwd")  # noqa: PTH110  gone, and became nothing else
    assert running.borrow("daemon", "status", ok=False).returncode == 4


def test_what_dies_at_each_start_is_left_alone_after_a_while(running: Home) -> None:
    running.borrow("daemon", "stop")
    running.borrow("daemon", "start", env={COUNT: str(MOST)})
    assert running.revival() == []
    running.borrow("daemon", "stop")
    running.borrow("daemon", "start", env={COUNT: "no number"})  # nobody's word but ours
    assert len(running.revival()) == 1


def test_it_holds_no_secret_and_nothing_of_the_callers_terminal(running: Home) -> None:
    running.borrow("daemon", "stop")
    running.borrow("daemon", "start", env={"AWS_SECRET_ACCESS_KEY": "canary-of-a-key"})
    (waits,) = running.revival()
    for name in ("cmdline", "environ"):
        with open(f"/proc/{waits}/{name}", "rb") as file:  # noqa: PTH123  not a file
            assert b"canary-of-a-key" not in file.read()
    links = [os.readlink(f"/proc/{waits}/fd/{n}") for n in (1, 2)]  # noqa: PTH115
    assert links == ["/dev/null"] * 2
    assert os.getsid(waits) == waits
