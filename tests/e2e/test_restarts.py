"""kill -9 at each step of the walk: no decision lost, nobody asked twice, nothing granted twice.

One oracle over the minter's log and the cloud's own record says so after every scenario.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.lab import Home, finish, home, wait_for
from borrow_fakes.team import ANN, Server, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))


class Oracle:
    """What must be true of one role's story, whatever was killed."""

    def __init__(self, one: Home, cloud: StandInProcess) -> None:
        self._home = one
        self._cloud = cloud
        self._sessions = {line["requestID"] for line in cloud.trail()}

    def check(self, *, requests: int = 1, grants: int = 1) -> None:
        log = self._home.log()
        kinds = Counter(entry["kind"] for entry in log)
        assert kinds["request.accept"] == requests, kinds
        assert kinds["grant.open"] == grants, kinds
        assert kinds["request.approved"] == grants, kinds
        begun = Counter(e["grant"] for e in log if e["kind"] == "mint.begin")
        for line in self._cloud.trail("AssumeRole"):
            if line["requestID"] in self._sessions:
                continue
            source = line["requestParameters"].get("sourceIdentity")
            assert begun[source] > 0, "an STS call without its leaf"
            begun[source] -= 1
        checked = json.loads(self._home.borrow("audit", "verify", "--json").stdout)
        assert checked["bad_seq"] is None


@pytest.fixture
def oracle(solo: Home, cloud: StandInProcess) -> Oracle:
    return Oracle(solo, cloud)


def call(one: Home, bearer: dict[str, str]) -> Any:
    return one.spawn(*BOTO3, env=bearer)


def dies_and_comes_back(one: Home) -> None:
    one.kill_daemon()
    one.start()


def test_killed_while_the_question_is_open(solo: Home, oracle: Oracle) -> None:
    bearer = solo.bearer("click")
    first = call(solo, bearer)
    before = solo.pending("click")
    dies_and_comes_back(solo)
    first.kill()
    again = call(solo, bearer)
    after = solo.pending("click")
    assert (after["request"], after["number"]) == (before["request"], before["number"])
    solo.decide(after["request"])
    assert finish(again)[0] == 0
    oracle.check()


def test_killed_after_the_yes_was_acknowledged(solo: Home, oracle: Oracle) -> None:
    bearer = solo.bearer("click")
    first = call(solo, bearer)
    request = solo.pending("click")["request"]
    assert solo.decide(request).body["state"] in ("approved", "redeemed")
    dies_and_comes_back(solo)
    first.kill()
    assert finish(call(solo, bearer))[0] == 0
    oracle.check()


def test_killed_while_sts_is_asked(solo: Home, cloud: StandInProcess, oracle: Oracle) -> None:
    bearer = solo.bearer("click")
    cloud.knobs(sts_delay=2.0)
    try:
        first = call(solo, bearer)
        solo.decide(solo.pending("click")["request"])
        wait_for(lambda: solo.log("mint.begin"), why="STS to be asked")
        dies_and_comes_back(solo)
        first.kill()
    finally:
        cloud.knobs(sts_delay=0.0)
    assert finish(call(solo, bearer))[0] == 0
    assert len(solo.log("mint.lost")) == 1
    oracle.check()


def test_killed_while_credentials_are_cached(solo: Home, oracle: Oracle) -> None:
    bearer = solo.bearer("click")
    first = call(solo, bearer)
    solo.decide(solo.pending("click")["request"])
    assert finish(first)[0] == 0
    dies_and_comes_back(solo)
    assert finish(call(solo, bearer))[0] == 0
    assert solo.asks() == []
    oracle.check()


def test_killed_at_any_moment(solo: Home, oracle: Oracle) -> None:
    """Eight deaths at moments a seed chooses, one person who answers what is open, one story."""
    chosen = random.Random(417)
    bearer = solo.bearer("click")
    for _ in range(8):
        child = call(solo, bearer)
        time.sleep(chosen.uniform(0.1, 1.2))
        for ask in solo.asks():
            if ask["state"] == "pending" and chosen.random() < 0.5:
                solo.decide(ask["request"])
        time.sleep(chosen.uniform(0.0, 0.3))
        dies_and_comes_back(solo)
        child.kill()
    child = call(solo, bearer)
    until = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < until:
        for ask in solo.asks():
            if ask.get("request") and ask["state"] == "pending":
                solo.decide(ask["request"])
        time.sleep(0.1)
    assert finish(child)[0] == 0
    oracle.check()


@pytest.fixture
def team(cloud: StandInProcess) -> Iterator[tuple[Server, Home]]:
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    made = Server.make(cloud=settings, base_key=cloud.base_key)
    with (
        made as server,
        home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one,
    ):
        join(server, one, ANN)
        yield server, one.start()


def restarted(server: Server) -> None:
    server.kill()
    server.start()


STEPS = ("while it is open", "after the yes", "once it is cached")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("victim", ["server", "daemon"])
def test_a_team_survives_the_death_of_either_side(
    team: tuple[Server, Home], cloud: StandInProcess, step: str, victim: str
) -> None:
    server, one = team
    oracle = Oracle(one, cloud)
    kill: Callable[[], None] = (
        (lambda: restarted(server)) if victim == "server" else (lambda: dies_and_comes_back(one))
    )
    bearer = one.bearer("click")
    child = call(one, bearer)
    request = one.pending("click")["request"]
    if step == "while it is open":
        kill()
        if victim == "daemon":  # its clients lost their connection; the server's did not
            child.kill()
            child = call(one, bearer)
        again = wait_for(lambda: one.pending("click"), why="the question to be open again")
        assert again["request"] == request
        one.decide(request)
    elif step == "after the yes":
        one.decide(request)
        kill()
        if victim == "daemon":
            child.kill()
            child = call(one, bearer)
    else:
        one.decide(request)
        assert finish(child)[0] == 0
        kill()
        child = call(one, bearer)
    code, _, err = finish(child, seconds=60)
    assert code == 0, err
    oracle.check()
