"""`borrow profiles`: a marked block, an exact undo, and no change where something is in the way."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.profileblock import joined, split
from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow_fakes.lab import Home


@pytest.fixture
def config(solo: Home) -> Iterator[Path]:
    import shutil

    aws = solo.root / "home/.aws"
    aws.mkdir()
    yield aws / "config"
    shutil.rmtree(aws)


@given(st.text(max_size=200), st.text(max_size=80))
def test_what_was_put_in_is_taken_out_exactly(text: str, block: str) -> None:
    if "borrow profiles" in text + block:
        return
    first = joined(split(text), block + "\n")
    assert split(first).outside == text
    assert not split(first).edited
    again = joined(split(first), "other\n")
    assert split(again).outside == text
    assert split(again).block == "other\n"


def test_undo_is_exact_and_keeps_mode_and_symlink(solo: Home, config: Path) -> None:
    real = config.with_name("real")
    real.write_bytes(b"[default]\r\nregion = eu-west-1\n# \xff no end of line")
    real.chmod(0o640)
    config.symlink_to("real")
    before = real.read_bytes()
    solo.borrow("profiles", "diff")
    assert real.read_bytes() == before
    solo.borrow("profiles", "install", "dev-read")
    assert (config.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    assert real.with_name("real.before-borrow").read_bytes() == before
    told = solo.borrow("profiles", "install")
    assert "Go programs (Terraform) end the wait after 60 s and Rust after 5 s" in told.stderr
    solo.borrow("profiles", "uninstall")
    assert real.read_bytes() == before
    assert sorted(path.name for path in config.parent.iterdir()) == ["config", "real"]


def test_an_installed_profile_works_without_our_environment_and_starts_the_daemon(
    solo: Home, config: Path
) -> None:
    solo.borrow("profiles", "install", "dev-read", "--prefix", "b-")
    solo.borrow("daemon", "stop")
    code = (
        "import boto3; print(boto3.Session(profile_name='b-dev-read').get_credentials().access_key)"
    )
    env = {name: value for name, value in solo.env.items() if name != "BORROW_STATE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("ASIAFAKE"), done.stderr
    solo.borrow("profiles", "uninstall")
    assert not config.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[default\nregion = x\n", "line 1 cannot be read"),
        ("[default]\nregion\n", "line 2 cannot be read"),
        (
            "[profile a]\nsource_profile = b\n[profile b]\nsource_profile = a\n",
            "are each other's source: a → b → a",
        ),
        ("[profile dev-read]\nregion = x\n", "you have a profile 'dev-read' already"),
    ],
)
def test_what_is_in_the_way_is_one_line_and_nothing_is_changed(
    solo: Home, config: Path, text: str, told: str
) -> None:
    config.write_text(text)
    error, _ = refused_with(solo.borrow("profiles", "install", ok=False), 1)
    assert told in error
    assert config.read_text() == text
    assert list(config.parent.iterdir()) == [config]


def test_an_edit_inside_the_block_is_never_overwritten(solo: Home, config: Path) -> None:
    solo.borrow("profiles", "install", "dev-read")
    edited = config.read_text().replace("borrow_role", "output = json\nborrow_role")
    config.write_text(edited)
    for command in ("install", "uninstall"):
        done = solo.borrow("profiles", command, ok=False)
        assert "output = json" in done.stderr
        assert "was edited" in refused_with(done, 1)[0]
    assert config.read_text() == edited
