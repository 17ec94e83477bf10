"""`make test` from inside a coding agent: what it starts is no agent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from borrow_fakes import apart
from borrow_fakes.lab import wait_for

ASKS = (
    "import os, sys, time; from borrow.daemon.caller import agent_of;"
    "print(repr(agent_of(os.getpid())), os.environ.get('CLAUDECODE'), os.getpid(), flush=True);"
    "time.sleep(float(sys.argv[1])); sys.exit(7)"
)


def started(wait: float, **flags: str) -> subprocess.Popen[str]:
    line = [sys.executable, apart.__file__, sys.executable, "-c", ASKS, str(wait)]
    return subprocess.Popen(line, env=os.environ | flags, stdout=subprocess.PIPE, text=True)


def gone(pid: int) -> bool:
    """Ended; where the first process of a namespace buries nobody, its entry stays."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


@pytest.mark.parametrize("flags", [{}, {"CLAUDECODE": "1"}, {"AI_AGENT": "x", "CURSOR_AGENT": "1"}])
def test_what_an_agent_starts_apart_is_no_agents_and_has_its_own_exit_code(
    flags: dict[str, str],
) -> None:
    with started(0, **flags) as child:
        out, _ = child.communicate(timeout=30)
    assert out.split()[:2] == ["''", "None"]
    assert child.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_runs_apart_ends_with_what_started_it(number: signal.Signals) -> None:
    with started(60, CLAUDECODE="1") as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline().split()[2])
        child.send_signal(number)
        wait_for(lambda: gone(pid), why="it to end")
        child.communicate(timeout=15)
