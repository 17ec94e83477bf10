"""The demo, and the README's first screen, as they are: run, compared, at a real terminal."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.lab import BORROW, ROOT, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the demo makes its own temporary folder."""
    with tempfile.TemporaryDirectory(prefix="b-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def unattended(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BORROW, "demo", "--unattended"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder),
        },
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def story(unattended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """One JSON document on standard output, and nothing else there."""
    assert unattended.returncode == 0, unattended.stderr
    told: dict[str, Any] = json.loads(unattended.stdout)
    return told


def test_every_promise_of_the_demo_is_kept(story: dict[str, Any]) -> None:
    assert [step["step"] for step in story["steps"] if not step["ok"]] == []
    assert story["ok"] is True
    assert len(story["steps"]) >= 8


def test_the_demo_shows_a_held_call_and_its_record(story: dict[str, Any]) -> None:
    assert story["held_s"] >= 3
    assert story["first_held_call_after_s"] < 60
    kinds = [entry["kind"] for entry in story["timeline"]]
    assert kinds.index("request.accept") < kinds.index("decision") < kinds.index("mint.begin")
    assert kinds[-1] == "mint.end"
    assert story["audit"]["bad_seq"] is None


def test_the_cloud_was_asked_for_no_more_than_was_approved(story: dict[str, Any]) -> None:
    asked = story["sts_request"]
    grant = story["cloudtrail_source_identity"]
    assert asked["sourceIdentity"] == grant
    assert {"key": "borrow-grant", "value": grant} in asked["tags"]
    denies = [s for s in json.loads(asked["policy"])["Statement"] if s["Effect"] == "Deny"]
    assert any("aws:CurrentTime" in json.dumps(one) for one in denies)


def test_the_demo_leaves_nothing_behind(story: dict[str, Any], folder: Path) -> None:
    assert story["ok"]
    wait_for(lambda: not left_of(folder), why="its folder and processes to be gone")


def left_of(folder: Path) -> list[str]:
    """What a demo that made its folder in `folder` still has: files and processes."""
    files = [path.name for path in folder.iterdir()]
    entries = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return files + [path.name for path in entries if str(folder) in _environment(path)]


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def test_a_closed_terminal_takes_the_demo_down(folder: Path) -> None:
    child = subprocess.Popen(
        [BORROW, "demo", "--unattended"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
    )
    assert child.stderr is not None
    while "is held" not in child.stderr.readline():
        pass
    child.send_signal(signal.SIGHUP)
    child.communicate(timeout=30)
    assert child.returncode == 130
    wait_for(lambda: not left_of(folder), why="its folder and processes to be gone")


def masked(text: str) -> list[str]:
    """Lines without what differs from run to run."""
    text = re.sub(r"\b([rg])-[0-9a-hjkmnp-tv-z]{26}\b", r"\1-ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"number \d{3}\b", "number NNN", text)
    text = re.sub(r"\d+ entries", "N entries", text)
    text = text.replace(f"local:{getpass.getuser()}", "local:USER")
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_demo_says_to_a_coding_agent_why_it_does_not_play_for_one(folder: Path) -> None:
    done = subprocess.run(
        [BORROW, "demo", "--unattended"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "CLAUDECODE": "1", "TMPDIR": str(folder)},
    )
    error, hint = refused_with(done, 3)
    assert error == "the demo plays people, and claude-code is a coding agent to Borrow"
    assert "`make demo`" in hint
    assert list(folder.iterdir()) == []


def test_the_readme_shows_what_the_demo_prints(
    unattended: subprocess.CompletedProcess[str],
) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- transcript.*?-->\n```text\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    printed = masked(unattended.stderr)
    begin = next(i for i, line in enumerate(printed) if line.startswith("$ "))
    assert masked(found[1]) == printed[begin:]


def test_the_readme_names_only_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^\$ borrow ?([a-z-]*)", readme, re.MULTILINE))
    commands |= set(re.findall(r"`borrow ([a-z-]+)", readme))
    for command in sorted(commands - {""}):
        done = subprocess.run(
            [BORROW, command, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, command


def test_the_readmes_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", readme):
        assert (ROOT / link).exists(), link


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    need(lacking("tmux"), "apt-get install --no-install-recommends tmux")
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        made = Terminal(Path(folder) / "s")
        try:
            yield made
        finally:
            made.tmux("kill-server")


class Terminal:
    """A person's terminal: 200 columns, in a tmux server of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def start(self, command: str) -> None:
        self.tmux("new-session", "-d", "-x", "220", "-y", "50", "bash --norc")
        self.type(command)

    def type(self, text: str) -> None:
        self.tmux("send-keys", text, "Enter")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def see(self, pattern: str, *, seconds: float = 45) -> re.Match[str]:
        try:
            return wait_for(lambda: re.search(pattern, self.screen()), seconds=seconds)
        except AssertionError:
            raise AssertionError(f"no {pattern} on the screen:\n{self.screen()}") from None


def test_a_person_answers_in_the_other_pane(terminal: Terminal) -> None:
    terminal.start(f"{BORROW} demo")
    number = terminal.see(r"number (\d{3})")[1]
    terminal.see("number shown where it was asked")
    code = terminal.see(r"app shows (\d{6})")[1]
    terminal.type(number)
    terminal.see("code of your authenticator app")
    terminal.type(code)
    terminal.see("press Enter for the timeline")
    terminal.type("")
    terminal.see(r"audit verify: ok, \d+ entries")
    screen = terminal.screen()
    assert "✗" not in screen
    assert "credentials sealed to the device" in screen
