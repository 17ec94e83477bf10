"""The shell hooks in real shells at a terminal: prompt, project roles, trust, job control."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pexpect
import pytest

from borrow_fakes.lab import BORROW, wait_for
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from borrow_fakes.lab import Home

SHELLS: Final = ("bash", "zsh", "fish")
START: Final = {
    "bash": ("home/.bashrc", 'PS1="$ "\neval "$({borrow} hook bash)"\n'),
    "zsh": ("home/.zshrc", 'PROMPT="$ "\nunsetopt zle\neval "$({borrow} hook zsh)"\n'),
    "fish": (
        "home/.config/fish/config.fish",
        "set -g fish_greeting\nfunction fish_prompt; echo -n '$ '; end\n"
        "{borrow} hook fish | source\n",
    ),
}
STATUS: Final = {"bash": "$?", "zsh": "$?", "fish": "$status"}
PROJECT = '[commands]\n"tool *" = "dev-read"\n"tool apply*" = "click"\n'
# What a borrowed program would see, from its own name: `tool apply x` prints `click tool apply x`.
# One process: a shell that is stopped between its vfork and its child's exec never stops.
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: os._exit(9))
with open(sys.argv[1], "w") as file:
    print(os.getpid(), file=file, flush=True)
time.sleep(60)
"""
TOOL = """#!/bin/sh
case "$1" in
read) cat ;;
wait) exec {python} -I {wait} "$2" ;;
fail) exit 7 ;;
*) echo "as ${BORROW_ROLE-nobody}: $*" ;;
esac
"""


class Shell:
    """An interactive shell with the hook, driven by lines and marks that only output holds."""

    def __init__(self, home: Home, name: str, folder: Path) -> None:
        need(lacking(name), f"apt-get install {name}")
        place, text = START[name]
        start = home.root / place
        start.parent.mkdir(parents=True, exist_ok=True)
        start.write_text(text.format(borrow=BORROW))
        path = f"{home.root / 'bin'}:{home.env['PATH']}"
        self.name = name
        self._count = 0
        self.child: Any = pexpect.spawn(
            name,
            ["-i"],
            env=home.env | {"TERM": "dumb", "PATH": path},
            cwd=str(folder),
            encoding="utf-8",
            timeout=20,
            dimensions=(50, 300),
        )
        self.seen = ""
        self.run("true")

    def run(self, line: str) -> str:
        """What the line printed."""
        self._count += 1
        self.child.sendline(f"{line}; echo m{self._count}''m")
        self.child.expect(f"m{self._count}m")
        self.seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", str(self.child.before))
        return self.seen.rpartition("''m\n")[2]

    def close(self) -> None:
        self.child.close(force=True)


@pytest.fixture
def project(solo: Home) -> Iterator[Path]:
    (solo.root / "bin").mkdir(exist_ok=True)
    tool = solo.root / "bin/tool"
    waits = solo.root / "bin/wait.py"
    waits.write_text(WAIT)
    tool.write_text(TOOL.replace("{python}", sys.executable).replace("{wait}", str(waits)))
    tool.chmod(0o755)
    folder = solo.root / "project"
    (folder / "deep").mkdir(parents=True)
    (folder / ".borrow.toml").write_text(PROJECT)
    yield folder
    solo.borrow("untrust", str(folder), ok=False)
    shutil.rmtree(folder)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, solo: Home, project: Path) -> Iterator[Shell]:
    one = Shell(solo, request.param, project)
    yield one
    one.close()


def test_a_projects_programs_get_their_role_without_a_prefix_once_trusted(
    solo: Home, shell: Shell, project: Path
) -> None:
    assert shell.run("tool plan") == "as nobody: plan\n"
    solo.borrow("trust", "-y", str(project))
    shell.run("true")  # the hook looks at the prompt
    assert shell.run("tool plan -x 'a  b'").endswith("as dev-read: plan -x a  b\n")
    assert shell.run("tool -chdir=x apply").endswith("as click: -chdir=x apply\n")
    assert shell.run("cd deep").strip() == ""
    assert shell.run("echo in | tool read") == "in\n"
    assert shell.run(f"tool fail; echo code {STATUS[shell.name]}").endswith("code 7\n")
    shell.run("cd ../..")
    assert shell.run("tool plan") == "as nobody: plan\n"
    shell.run("cd project")
    assert shell.run("tool plan").endswith("as dev-read: plan\n")
    assert solo.asks() == []  # a role is asked for by the first call, not by the wrapping


def test_a_change_is_asked_about_before_it_chooses_anything(
    solo: Home, shell: Shell, project: Path
) -> None:
    solo.borrow("trust", "-y", str(project))
    shell.run("true")
    assert shell.run("tool plan").endswith("as dev-read: plan\n")
    (project / ".borrow.toml").write_text(PROJECT.replace('"dev-read"', '"prod-admin"'))
    shell.run("true")
    shell.child.sendline("tool plan")
    shell.child.expect(r"\+ \"tool \*\" = \"prod-admin\"")
    shell.child.expect(r"trust it\? \[y/N\]: ")
    shell.child.sendline("n")
    shell.child.expect("was not trusted")
    assert "as " not in str(shell.child.before)
    shell.child.sendline("tool plan")
    shell.child.expect(r"trust it\? \[y/N\]: ")
    shell.child.sendline("y")
    shell.child.expect("as prod-admin: plan")  # the very command that was typed


def test_ctrl_c_and_ctrl_z_are_the_commands_own(shell: Shell, solo: Home, project: Path) -> None:
    solo.borrow("trust", "-y", str(project))
    shell.run("true")
    for prefix in ("tool", f"{BORROW} run dev-read -- tool"):
        _stop_and_interrupt(shell, prefix, project / "pid")


def _stop_and_interrupt(shell: Shell, prefix: str, told: Path) -> None:
    told.unlink(missing_ok=True)
    shell.child.sendline(f"{prefix} wait {told}")
    wait_for(lambda: told.exists() and told.read_text().endswith("\n"), why="the tool to wait")
    pid = int(told.read_text())
    # A shell gives the terminal to a job a moment after it starts: keys are typed until they count.
    _press(shell, "z", lambda: _state(pid) == "T")
    assert "top" in shell.run("jobs") or shell.name == "zsh"
    shell.child.sendline("fg")
    wait_for(lambda: _state(pid) == "S", why="the tool to go on")
    _press(shell, "c", lambda: _state(pid) == "")
    code = shell.run(f"echo code {STATUS[shell.name]}")
    # After `fg`, zsh says 0 for any function, and fish for anything at all.
    assert "code 9" in code or shell.name == "fish" or (shell.name == "zsh" and prefix == "tool")


def _press(shell: Shell, key: str, done: Callable[[], bool]) -> None:
    """As a person does: once more if nothing happened for a while."""
    for _ in range(6):
        shell.child.sendcontrol(key)
        with contextlib.suppress(AssertionError):
            wait_for(done, seconds=5, why=f"Ctrl-{key}")
            return
    raise AssertionError(f"Ctrl-{key} does nothing")


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  not a file
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_the_prompt_names_role_and_time_left_and_forgets_what_was_returned(
    solo: Home, shell: Shell
) -> None:
    solo.borrow("return", "--all")  # another session's would be shared with this one
    segment = r"\[dev-read (59m|1h)\] \$ "
    shell.run(f"{BORROW} credential dev-read >/dev/null")
    shell.child.sendline("true")
    shell.child.expect(segment)
    shell.run(f"{BORROW} return dev-read")
    time.sleep(0.1)
    shell.child.sendline("echo done''done")
    shell.child.expect("donedone")
    shell.child.sendline("true")
    shell.child.expect(r"\$ ")
    assert "[dev-read" not in str(shell.child.before).rpartition("donedone")[2]


def test_a_program_that_is_the_users_own_function_stays_so(
    solo: Home, shell: Shell, project: Path
) -> None:
    shell.run("cd /")
    define = {"fish": "function tool; echo mine; end"}.get(shell.name, "tool() { echo mine; }")
    shell.run(define)
    solo.borrow("trust", "-y", str(project))
    shell.run(f"cd {project}")
    at_cd = shell.seen
    shell.run("true")
    assert "is a function of yours already and stays so" in at_cd + shell.seen
    assert shell.run("tool plan") == "mine\n"


@pytest.mark.parametrize("name", SHELLS)
def test_a_hook_says_no_word_and_breaks_nothing_where_nothing_is_set_up(
    name: str, solo: Home, tmp_path: Path
) -> None:
    """The start file of a shell that is no terminal: neither output nor a changed prompt."""
    need(lacking(name), f"apt-get install {name}")
    text = solo.borrow("hook", name).stdout
    (tmp_path / "hook").write_text(text)
    done = subprocess.run(
        [name, "-c", f"source {tmp_path / 'hook'}; echo fine"],
        env=solo.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
