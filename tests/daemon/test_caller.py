"""What is read of a calling process, and that nothing about it can hurt the reader."""

import asyncio
import json
import os
import pty
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.daemon import caller, procfs
from borrow.daemon.caller import MAX_CONTEXT, ProcessFacts, Session
from borrow_fakes.edge import SYSTEM_PYTHON, until
from borrow_fakes.tools import lacking, need

GONE = 4_194_305  # beyond the largest pid that Linux gives


@contextmanager
def running(
    code: str = "import sys; print('ready', flush=True); sys.stdin.read()",
    *arguments: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    session: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """A Python child that said it is ready, ended with the block."""
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=env if env is not None else {},
        start_new_session=session,
    ) as child:
        assert child.stdout is not None
        try:
            child.stdout.readline()
            yield child
        finally:
            child.kill()


# -- sessions ------------------------------------------------------------------------------------


def test_a_session_is_named_by_its_leader_and_the_leaders_start() -> None:
    with running(session=True) as leader:
        session = caller.session_of(leader.pid)
        assert session is not None
        leads = procfs.stat_of(leader.pid)
        assert leads is not None
        assert session == Session(leader.pid, leads.start, "")
        assert caller.session_alive(session.sid, session.leader_start)
    assert not caller.session_alive(session.sid, session.leader_start)


def test_a_child_is_in_its_parents_session() -> None:
    with running() as child:
        assert caller.session_of(child.pid) == caller.session_of(os.getpid())


def test_a_reused_number_is_another_session() -> None:
    with running(session=True) as leader:
        session = caller.session_of(leader.pid)
        assert session is not None
        assert not caller.session_alive(session.sid, session.leader_start - 1)
        assert not caller.session_alive(session.sid, 0)


def test_a_session_outlives_its_leader_while_a_member_lives() -> None:
    code = """
import os, sys
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(writer)
    print(os.getpid(), flush=True)
    os.read(reader, 1)  # until the leader is gone
    sys.stdin.read()
    os._exit(0)
sys.stdin.readline()
os._exit(0)
"""
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        member = int(leader.stdout.readline())
        before = caller.session_of(member)
        assert before is not None
        assert before.sid == leader.pid
        leader.stdin.write("go\n")
        leader.stdin.flush()
        leader.wait()
        assert caller.session_of(member) == Session(leader.pid, 0, "")
        assert caller.session_alive(before.sid, before.leader_start)
        assert caller.session_alive(before.sid, 0)
        leader.stdin.close()
        asyncio.run(until(lambda: not caller.session_alive(before.sid, before.leader_start)))


OUTSIDE = """
import os, subprocess, sys, time
from borrow.daemon import caller, procfs
own = caller.session_of(os.getpid())
assert procfs.stat_of(os.getpid()).session == 0, "this is no session from outside"
def child(*more):
    return subprocess.Popen(["sleep", "60"], **dict(more))
one, other = child(), child(("start_new_session", True))
assert caller.session_of(one.pid) == own, own
assert caller.session_of(other.pid).sid == other.pid
assert caller.session_alive(own.sid, own.leader_start)
assert not caller.session_alive(own.sid, own.leader_start - 1)
print(own.sid, own.leader_start > 0, repr(own.tty), caller.controlling_tty(own))
"""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_session_from_outside_of_the_pid_namespace_is_named_by_its_topmost_process(
    terminal: bool,
) -> None:
    """As `docker exec` and a CI job have it: the kernel says session 0. It has no terminal."""
    need(lacking("unshare"), "apt-get install --no-install-recommends util-linux")
    need(None if os.geteuid() == 0 else "a pid namespace needs root", "sudo make test")
    inside = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", OUTSIDE]
    if terminal:
        inside = ["script", "-qec", shlex.join(inside), "/dev/null"]
    done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout.split()) == (0, ["1", "True", "''", "None"]), done


def test_a_terminal_session_names_its_terminal() -> None:
    code = "import os,sys; os.setsid(); os.close(os.open(os.ttyname(0), os.O_RDWR)); "
    code += "print('ready', flush=True); os.read(0, 1)"
    controller, terminal = pty.openpty()
    path = os.ttyname(terminal)
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", code], stdin=terminal, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        session = caller.session_of(child.pid)
        os.close(terminal)
        os.close(controller)
    assert session is not None
    assert session.tty == path


@pytest.mark.parametrize(
    ("number", "path"),
    [
        (0, ""),
        ((136 << 8) | 5, "/dev/pts/5"),
        ((137 << 8) | 1, "/dev/pts/257"),
        ((136 << 8) | 0x2C | (0x1 << 20), "/dev/pts/300"),
        ((4 << 8) | 2, "/dev/tty2"),
        ((4 << 8) | 64, ""),
        ((5 << 8) | 1, ""),
    ],
)
def test_terminal_numbers_become_paths(number: int, path: str) -> None:
    assert caller.tty_path(number) == path


# -- from a socket to its process ------------------------------------------------------------------


CONNECT = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(s.fileno(), flush=True)
sys.stdin.read()
"""


@contextmanager
def calling() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A child with a connection, and the inode of its socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running(CONNECT, str(listener.getsockname()[1])) as child,
    ):
        accepted, _ = listener.accept()
        with accepted:
            links = [link for link in procfs.links(child.pid) if link.startswith("socket:[")]
            yield child, int(links[0].removeprefix("socket:[").rstrip("]"))


def test_the_holder_of_a_socket_is_found() -> None:
    with calling() as (child, inode):
        assert caller.pid_of_inode(inode, os.getuid()) == child.pid
        assert caller.pids_of_inodes([inode, 1], os.getuid()) == {inode: child.pid}
        facts = caller.describe_inode(inode, os.getuid())
        assert facts is not None
        assert facts.pid == child.pid


def test_another_users_processes_are_not_searched() -> None:
    with calling() as (_, inode):
        assert caller.pid_of_inode(inode, os.getuid() + 12_345) is None


def test_a_socket_of_nobody_has_no_holder() -> None:
    with calling() as (child, inode):
        child.kill()
        child.wait()
        assert caller.pid_of_inode(inode, os.getuid()) is None
        assert caller.describe_inode(inode, os.getuid()) is None


@pytest.mark.parametrize("inode", [0, -1])
def test_no_inode_is_nobodys(inode: int) -> None:
    assert caller.pid_of_inode(inode, os.getuid()) is None


# -- a process, described ------------------------------------------------------------------------


def test_a_process_is_described_by_what_it_runs_not_by_its_name(tmp_path: Path) -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'aws', 0, 0, 0); "
    code += "import sys; print('ready', flush=True); sys.stdin.read()"
    with running(code, "--password", "hunter2", cwd=tmp_path) as child:
        facts = caller.describe(child.pid)
    assert facts is not None
    assert Path(facts.exe) == Path(SYSTEM_PYTHON).resolve()
    assert facts.argv[-2:] == ("--password", "***")
    assert facts.cwd == str(tmp_path)
    assert facts.parents[0].startswith("python")
    assert facts.start > 1_500_000_000
    assert "hunter2" not in repr(facts)


@pytest.mark.parametrize("pid", [GONE, 0, -1])
def test_a_process_that_is_not_there_is_nothing(pid: int) -> None:
    assert caller.describe(pid) is None
    assert caller.session_of(pid) is None
    assert caller.as_context(None) == {}


def test_a_zombie_is_not_described() -> None:
    with running() as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert caller.describe(child.pid) is None


@pytest.mark.parametrize(
    ("variable", "value", "agent"),
    [
        ("AI_AGENT", "some-agent", "some-agent"),
        ("CLAUDECODE", "1", "claude-code"),
        ("CURSOR_TRACE_ID", "x", "cursor"),
        ("GEMINI_CLI", "1", "gemini-cli"),
        ("CODEX_SANDBOX", "seatbelt", "codex"),
    ],
)
def test_an_agents_flag_is_seen(variable: str, value: str, agent: str) -> None:
    with running(env={variable: value}) as child:
        facts = caller.describe(child.pid)
        assert caller.agent_of(child.pid) == agent
    assert facts is not None
    assert facts.agent == agent


def test_an_agents_flag_is_seen_on_an_ancestor() -> None:
    inner = "import sys; print('ready', flush=True); sys.stdin.read()"
    outer = "import subprocess,sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
    outer += "env={}, stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); "
    outer += "sys.stdin.read()"
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", outer, inner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"CLAUDECODE": "1"},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        facts = caller.describe(pid)
        assert caller.agent_of(pid) == "claude-code"
        assert parent.stdin is not None
        parent.stdin.close()
    assert facts is not None
    assert facts.agent == "claude-code"
    assert len(facts.parents) <= caller.MAX_PARENTS


def test_an_empty_flag_is_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(env={"CLAUDECODE": "", "AI_AGENT": ""}) as child:
        environment = procfs.read(f"/proc/{child.pid}/environ")
        assert b"CLAUDECODE=" in environment
        assert caller._flagged(child.pid) == ""


@pytest.mark.parametrize(
    ("head", "branch"),
    [
        ("ref: refs/heads/fix/login\n", "fix/login"),
        ("ref: refs/tags/v1\n", "refs/tags/v1"),
        ("0123456789abcdef0123456789abcdef01234567\n", "0123456789ab"),
        ("nonsense\n", ""),
        ("", ""),
    ],
)
def test_the_branch_is_read_from_the_repository_around_the_caller(
    tmp_path: Path, head: str, branch: str
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with running(cwd=inner) as child:
        facts = caller.describe(child.pid)
    assert facts is not None
    assert facts.git_branch == branch


def test_the_branch_of_a_worktree_is_its_own(tmp_path: Path) -> None:
    real = tmp_path / "repo" / ".git" / "worktrees" / "w"
    real.mkdir(parents=True)
    (real / "HEAD").write_text("ref: refs/heads/other\n")
    tree = tmp_path / "w"
    tree.mkdir()
    (tree / ".git").write_text("gitdir: ../repo/.git/worktrees/w\n")
    assert caller._git_branch(str(tree)) == "other"


def test_a_pipe_planted_as_head_does_not_hang_the_reader(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert caller._git_branch(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0::/system.slice/docker-{id}.scope", True),
        ("12:memory:/docker/{id}", True),
        ("0::/../cri-containerd-{id}.scope", True),
        ("0::/user.slice/libpod-{id}.scope/container", True),
        ("0::/user.slice/user-1000.slice", False),
    ],
)
def test_a_container_is_known_by_its_cgroup(line: str, found: bool) -> None:
    match = caller._CONTAINER.search(line.format(id="0123456789abcdef" * 4) + "/")
    assert (match is not None) is found


def test_an_unprintable_path_becomes_text() -> None:
    assert procfs.clean("a\udcffb") == "a\\udcffb"


def test_a_context_has_the_shape_of_the_protocol() -> None:
    facts = ProcessFacts(
        pid=7,
        exe="/usr/bin/aws",
        argv=("aws", "s3", "rm", "s3://b/a file", "***"),
        cwd="/home/ann",
        start=1_700_000_000,
        parents=("bash", "sshd"),
        git_branch="main",
        agent="codex",
    )
    assert caller.as_context(facts) == {
        "exe": "/usr/bin/aws",
        "argv": "aws s3 rm 's3://b/a file' ***",
        "cwd": "/home/ann",
        "pid": 7,
        "start": 1_700_000_000,
        "parents": ["bash", "sshd"],
        "git_branch": "main",
    }


hostile = st.text(st.characters() | st.sampled_from("\0\x1b\U0001f600"), max_size=256)


@given(hostile, st.lists(hostile, max_size=9), hostile, st.lists(hostile, max_size=8), hostile)
def test_a_context_fits_whatever_the_process_calls_itself(
    exe: str, argv: list[str], cwd: str, parents: list[str], branch: str
) -> None:
    facts = ProcessFacts(1, exe, tuple(argv), cwd, 1, tuple(parents), branch)
    context = caller.as_context(facts)
    assert len(json.dumps(context)) <= MAX_CONTEXT
    argv_text = context["argv"]
    assert isinstance(argv_text, str)
    assert len(argv_text) <= caller.MAX_ARGV


def test_a_very_long_command_line_is_cut() -> None:
    with running(
        "import sys; print('ready', flush=True); sys.stdin.read()", *["x" * 50] * 100
    ) as child:
        facts = caller.describe(child.pid)
    assert facts is not None
    assert sum(len(arg) for arg in facts.argv) <= caller.MAX_ARGV


def test_a_name_full_of_parentheses_does_not_confuse_the_reader() -> None:
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b') R 1 (x) ', 0, 0, 0); "
    code += "import sys; print('ready', flush=True); sys.stdin.read()"
    with running(code) as child:
        seen = procfs.stat_of(child.pid)
    assert seen is not None
    assert (seen.comm, seen.ppid) == (") R 1 (x) ", os.getpid())


def test_the_own_process_is_alive() -> None:
    seen = procfs.stat_of(os.getpid())
    assert seen is not None
    assert procfs.is_alive(seen)
