"""Wrong use: exit code 2, one error, and the corrected line as the hint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from borrow.cli import errors, group
from borrow.cli.main import run
from borrow.cli.usage import FOREIGN, run_line

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    "run aws s3 ls": "borrow run ROLE -- aws s3 ls",
    "run prod-admin aws s3 ls": "borrow run prod-admin -- aws s3 ls",
    "run -m why prod-admin terraform apply": "borrow run -m why prod-admin -- terraform apply",
    "run": "borrow run ROLE -- COMMAND",
    "run prod-admin --": "borrow run prod-admin -- COMMAND",
    "run -- aws s3 ls": "borrow run ROLE -- aws s3 ls",
    "exec prod-admin -- aws s3 ls": "borrow run prod-admin -- aws s3 ls",
    "exec prod-admin aws s3 ls": "borrow run prod-admin -- aws s3 ls",
    "aws s3 ls": "borrow run ROLE -- aws s3 ls",
    "terraform plan": "borrow run ROLE -- terraform plan",
    "request prod-admin": "borrow ask prod-admin",
    "accept r-1": "borrow approve r-1",
    "reject r-1": "borrow deny r-1",
    "list": "borrow roles",
    "status": "borrow",
    "version": "borrow --version",
    "logs": "borrow daemon logs",
    "aprove r-1": "borrow approve r-1",
    "frobnicate": "`borrow --help` lists the commands",
    "ask": "borrow ask ROLE",
    "ask prod-admin extra": "borrow ask ROLE",
    "ask prod-admin --reasn because": "borrow ask prod-admin --reason because",
    "ask prod-admin --for soon": "write it like 90s, 15m, 4h, 1h30m or 7d",
    "ask prod-admin --for 0s": "write it like 90s, 15m or 4h",
    "extend prod-admin": "borrow extend ROLE DURATION",
    "return prod-admin --all": "borrow return prod-admin",
    "not-me": "borrow not-me ID",
    "statsu": "borrow",
    "requst prod-admin": "borrow ask prod-admin",
    "env prod-admin --shell tcsh": "borrow env ROLE",
    "daemon restart": "borrow daemon start",
    "daemon frobnicate": "borrow daemon logs|start|status|stop",
    "--frobnicate": "`borrow --help` lists the commands",
    "server init": "borrow server init --issuer URL --admin PERSON",
    "policy": "borrow policy check|explain|test",
    "keys ad --sealed": "borrow keys add --sealed",
    "imds use": "borrow imds use ROLE",
    "extend 5m prod-admin": "borrow extend prod-admin 5m",
    "extend prod-admin soon": "write it like 90s, 15m, 4h, 1h30m or 7d",
}


@pytest.fixture(autouse=True)
def _nothing_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BORROW_STATE_DIR", str(tmp_path / "none"))


@pytest.mark.parametrize(("line", "hint"), WRONG.items(), ids=list(WRONG))
def test_wrong_use_is_answered_with_the_right_line(
    line: str, hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(line.split()) == errors.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    error, *rest = told.err.splitlines()
    assert error.startswith("borrow: error: ")
    assert rest == [f"borrow: hint: {hint}"]
    assert not (tmp_path / "none").exists()


def test_an_option_that_is_not_near_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env", "prod-admin", "--json"]) == errors.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == "borrow env ROLE"


def test_words_of_other_tools_lead_to_commands_that_exist() -> None:
    for ours in FOREIGN.values():
        first = ours.split(" ")[0]
        assert first in group.COMMANDS or first in ("", "--version")


def test_a_hint_is_one_line_of_words_that_were_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["daemon", "st\x1b[2Jop"]) == errors.USAGE
    assert run(["daemon", "x\n" * 400]) == errors.USAGE
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert len(told.splitlines()) == 4


def test_a_role_that_is_known_is_told_from_a_program() -> None:
    assert run_line(["dev", "ls"], known=["dev"]) == "borrow run dev -- ls"
    assert run_line(["dev", "ls"], known=[]) == "borrow run ROLE -- dev ls"
    assert run_line(["dev", "-m", "x y", "ls"], ["dev"]) == "borrow run dev -m 'x y' -- ls"


def test_a_hint_never_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["aws", "\x1b]0;owned\x07"]) == errors.USAGE
    assert run(["\x1b[2Jx"]) == errors.USAGE
    assert "\x1b" not in capsys.readouterr().err


def test_a_json_document_never_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from borrow.cli import say

    hostile = {"reason": "\x1b]0;x\x07 \x9b31m \u202e \u2066 \u2028", "name": "ü"}
    say.document(hostile)
    told = capsys.readouterr().out
    assert told.isascii()
    assert all(line.isprintable() for line in told.splitlines())
    assert json.loads(told) == hostile


def test_json_gives_the_same_error_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--json"]) == errors.USAGE
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["hint"] == "borrow ask ROLE"
    assert told.err.startswith("borrow: error: ")


def test_every_command_has_help_in_its_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    blocks = [text.index(f"{name}:") for name in ("Borrowing", "Answering", "Running it")]
    assert blocks == sorted(blocks)
    assert "credential_process" not in text
    for name in group.COMMANDS:
        if name not in ("demo", "credential"):
            assert run([name, "--help"]) == 0
