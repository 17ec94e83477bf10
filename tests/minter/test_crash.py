"""kill -9 at any moment: what was answered is kept, what was begun is known, nothing is doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from borrow.minter.secret_files import load_or_create
from borrow_fakes.minting import ANN, MinterHouse

if TYPE_CHECKING:
    from pathlib import Path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "borrow_fakes.doomed_minter", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(child: subprocess.Popen[str]) -> list[str]:
    """What it still said. Nothing in the child runs after this."""
    child.kill()
    said, _ = child.communicate(timeout=20)
    return said.splitlines()


def test_a81_killed_in_the_cloud_call_the_mint_is_lost_and_the_grant_is_not_doubled(
    tmp_path: Path,
) -> None:
    house = MinterHouse(tmp_path, keys=load_or_create(tmp_path))
    ann = house.join(ANN)
    grant = house.granted(ann)
    house.minter.close()
    child = start(tmp_path, grant.grant_id, ann.client_id)
    assert child.stdout is not None
    assert child.stdout.readline() == "in the cloud\n"
    kill(child)
    house.minter = house.open()
    assert house.kinds()[-2:] == ["mint.begin", "mint.lost"]
    joined = house.ask(ann, "click")
    assert (joined.joined, joined.view.request_id) == (True, grant.request_id)
    again, _ = house.minter.open_grant(grant.request_id, ann.client_id)
    assert (again.grant_id, again.expires_at) == (grant.grant_id, grant.expires_at)
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id
    assert house.kinds().count("grant.open") == 1
    assert house.minter.check_log().bad_seq is None
    house.restart()
    assert house.kinds().count("mint.lost") == 1
    house.minter.close()


@pytest.mark.parametrize("seed", range(4))
def test_a83_killed_at_any_moment_what_was_answered_is_there(tmp_path: Path, seed: int) -> None:
    child = start(tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    said = [line.split() for line in kill(child)]
    house = MinterHouse(tmp_path, keys=load_or_create(tmp_path))
    keys = {entry["facts"].get("access_key_id") for entry in house.log()}
    for what, name in (line for line in said if len(line) == 2):
        match what:
            case "mint":
                assert name in keys
            case "released":
                assert house.minter.grant(name).state == "released"
            case _:
                assert house.minter.grant(name).grant_id == name
    found = house.minter.check_log()
    assert (found.bad_seq, found.why) == (None, "")
    kinds = house.kinds()
    assert kinds.count("mint.begin") == kinds.count("mint.end") + kinds.count("mint.lost")
    house.minter.close()
