"""A project's file is a stranger's: nothing follows from it before a person trusted just that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.lab import Home, home
from borrow_fakes.solo_mode import refused_with, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = 'role = "dev-read"\n[commands]\n"tool *" = "dev-read"\n'


@pytest.fixture(scope="module")
def solo() -> Iterator[Home]:
    with home() as one:
        yield set_up(one)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".borrow.toml"


def test_without_trust_a_project_chooses_no_role(solo: Home, file: Path) -> None:
    file.write_text(GOOD)
    env = {"PWD": str(file.parent)}
    told = solo.borrow("run", "--dry-run", "--", "tool", ok=False, env=env)
    assert told.returncode != 0
    assert solo.borrow("trust", str(file.parent), ok=False).returncode != 0  # nobody to ask
    assert str(file) not in solo.borrow("trust", "--list").stdout


@pytest.mark.parametrize("variable", ["CLAUDECODE", "CODEX_SANDBOX"])
def test_an_agent_cannot_trust_a_project(solo: Home, file: Path, variable: str) -> None:
    file.write_text(GOOD)
    done = solo.borrow("trust", "-y", str(file.parent), ok=False, env={variable: "1"})
    error, hint = refused_with(done, 3)
    assert "agent" in error
    assert "terminal of their own" in hint
    assert str(file) not in solo.borrow("trust", "--list").stdout


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "large", "binary"])
def test_what_is_no_plain_small_text_is_not_trusted(solo: Home, file: Path, kind: str) -> None:
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "link":
            (file.parent / "other.toml").write_text(GOOD)
            file.symlink_to("other.toml")
        case "folder":
            file.mkdir()
        case "large":
            file.write_text("# " + "x" * 1_000_000)
        case _:
            file.write_bytes(b"role = '\xff\xfe'\n")
    done = solo.borrow("trust", "-y", str(file.parent), ok=False, timeout=20)
    assert done.returncode != 0
    assert done.stderr.startswith("borrow: error: ") or "borrow: error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert str(file) not in solo.borrow("trust", "--list").stdout


def test_hostile_text_is_shown_and_acts_on_nothing(solo: Home, file: Path) -> None:
    file.write_text(
        'role = "dev-read" # \\u202e\x1b]0;owned\x07\x1b[2J\u202egood\u200b\n'.replace(
            "\x1b", "\u009b"
        )
    )
    told = solo.borrow("trust", "-y", str(file.parent), ok=False)
    for sign in ("\x1b", "\u009b", "\x07", "\u202e", "\u200b"):
        assert sign not in told.stdout + told.stderr


@pytest.mark.parametrize(
    "name", ["../tool", "cd", "tool;id", "$(id)", "-x", "borrow", "[", "if", "sudo", "tool\\n"]
)
def test_a_name_that_a_shell_would_act_on_is_no_command(solo: Home, file: Path, name: str) -> None:
    file.write_text(f'[commands]\n"{name} *" = "dev-read"\n')
    done = solo.borrow("trust", "-y", str(file.parent), ok=False)
    assert done.returncode != 0
    assert str(file) not in solo.borrow("trust", "--list").stdout


def test_one_byte_more_is_another_content(solo: Home, file: Path) -> None:
    file.write_text(GOOD)
    solo.borrow("trust", "-y", str(file.parent))
    assert "trusted already" in solo.borrow("trust", str(file.parent)).stdout
    file.write_text(GOOD + "#")
    assert solo.borrow("trust", str(file.parent), ok=False).returncode != 0
    solo.borrow("untrust", str(file.parent))
