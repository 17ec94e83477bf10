"""The abuse catalogue (SECURITY.md) against the daemon's own places: port, files, sockets, core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from borrow.daemon import hardening
from borrow.daemon.peer import unix_peer
from borrow.daemon.places import StateDir, read_private, runtime_dir, socket_path, write_private
from borrow.daemon.ports import choose_port
from borrow.protocol.errors import Misconfigured
from borrow_fakes.edge import OTHER, SYSTEM_PYTHON, need_two_users, run_as, run_program
from borrow_fakes.tools import lacking, need

# Helpers cannot import ours: they run under the system's Python, as a user who may not read it.
HARDENING = Path(hardening.__file__).read_text("utf-8")


@pytest.mark.parametrize("option", ["SO_REUSEPORT", "SO_REUSEADDR"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_a34_nobody_shares_the_port(option: str, host: str) -> None:
    held = choose_port(None)
    if ":" in host and held.spare is None:
        pytest.skip("no IPv6 loopback on this system")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(held), socket.socket(family) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        if family == socket.AF_INET6:
            squatter.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with pytest.raises(OSError, match="in use"):
            squatter.bind((host, held.number))


async def test_a34_another_user_cannot_share_the_port_either() -> None:
    need_two_users()
    code = """
import socket, sys
for option in (socket.SO_REUSEPORT, socket.SO_REUSEADDR):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")):
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            s.bind((host, int(sys.argv[1])))
            print("bound", host)
        except OSError:
            pass
"""
    with contextlib.closing(choose_port(None)) as held:
        assert await run_as(OTHER, code, str(held.number)) == (0, "")


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a37_a_state_directory_open_to_others_is_refused_by_name(tmp_path: Path, mode: int) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    with pytest.raises(Misconfigured, match=f"{state}.*{mode:04o}") as caught:
        StateDir.open(state)
    assert caught.value.hint == f"`chmod 700 {state}`"
    assert stat.S_IMODE(state.stat().st_mode) == mode  # said, not silently repaired


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o700])
def test_a37_a_token_file_open_to_others_is_refused_by_name(tmp_path: Path, mode: int) -> None:
    token = StateDir.open(tmp_path / "state") / "bearers"
    write_private(token, b"secret")
    token.chmod(mode)
    with pytest.raises(Misconfigured, match=f"{token}.*{mode:04o}"):
        read_private(token)


def test_a38_a_reader_during_rotation_sees_one_whole_token(tmp_path: Path) -> None:
    token = StateDir.open(tmp_path / "state") / "bearers"
    write_private(token, b"a" * 4096)
    with token.open("rb") as reader:
        head = reader.read(10)
        write_private(token, b"b" * 4096)
        assert head + reader.read() == b"a" * 4096
    assert read_private(token) == b"b" * 4096
    assert [each.name for each in token.parent.iterdir()] == ["bearers"]


async def test_a39_the_unix_socket_is_a_path_that_other_users_cannot_reach(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    need_two_users()
    base = tmp_path_factory.mktemp("b")
    for folder in (base, *list(base.parents)[:2]):
        folder.chmod(0o755)  # only our own folder is to stand in the way
    path = socket_path(runtime_dir(StateDir.open(base / "s").path, {}))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert str(path).startswith("/")  # an abstract name begins with NUL
    code = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('in')"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)  # even then
        listener.listen()
        _, output = await run_as(OTHER, code, str(path))
    assert "PermissionError" in output
    assert "in\n" not in output


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o500])
def test_a39_an_open_runtime_directory_is_not_used(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    state = StateDir.open(tmp_path / "state").path
    assert runtime_dir(state, {"XDG_RUNTIME_DIR": str(shared)}) == state / "run"


def test_a39_the_kernel_names_who_is_at_a_unix_socket(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = unix_peer(ours)
        assert peer is not None
        assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())


# -- the process itself --------------------------------------------------------------------------

TARGET = """
import os, sys, time
os.environ.clear()
if sys.argv[1] == "protected":
    source = {}
    exec(sys.argv[2], source)
    assert source["protect_process"]()
print(os.getpid(), flush=True)
sys.stdin.read()
"""
SNOOP = """
import ctypes, os, sys
pid = int(sys.argv[1])
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{pid}/{name}", "rb").read(0 if name == "mem" else 10)
        print(name, "read")
    except OSError as exc:
        print(name, type(exc).__name__)
libc = ctypes.CDLL(None, use_errno=True)
done = libc.ptrace(16, pid, 0, 0)  # PTRACE_ATTACH
print("ptrace", "attached" if done == 0 else os.strerror(ctypes.get_errno()))
"""


async def _snoop(protected: str) -> str:
    """What an equal of the process (the same unprivileged user) learns of it."""
    as_other = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups")
    target = await asyncio.create_subprocess_exec(
        *(*as_other, SYSTEM_PYTHON, "-I", "-c", TARGET, protected, HARDENING),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd="/",
    )
    assert target.stdin is not None
    assert target.stdout is not None
    try:
        pid = (await target.stdout.readline()).decode().strip()
        _, output = await run_as(OTHER, SNOOP, pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            target.send_signal(signal.SIGKILL)
        await target.communicate()
    return output


async def test_a40_an_equal_cannot_read_or_trace_the_daemon() -> None:
    need_two_users()
    assert "environ read" in await _snoop("open")  # the attack works where nothing stops it
    assert (await _snoop("protected")).splitlines() == [
        "environ PermissionError",
        "mem PermissionError",
        "maps PermissionError",
        "ptrace Operation not permitted",
    ]


CRASH = """
import os, resource, signal, sys
os.chdir(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
child = os.fork()
if child == 0:
    if sys.argv[1] == "protected":
        source = {}
        exec(sys.argv[2], source)
        assert source["protect_process"]()
    os.kill(os.getpid(), signal.SIGSEGV)
_, status = os.waitpid(child, 0)
print(os.WTERMSIG(status) == signal.SIGSEGV, os.WCOREDUMP(status))
"""


async def test_a41_a_crash_leaves_no_core_file(tmp_path: Path) -> None:
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    command = (SYSTEM_PYTHON, "-I", "-c", CRASH)
    _, crashed = await run_program(*command, "protected", HARDENING, str(tmp_path))
    assert crashed.split() == ["True", "False"]
    assert os.listdir(tmp_path) == []  # noqa: PTH208 -- in a coroutine
    _, control = await run_program(*command, "open", HARDENING, str(tmp_path))
    missing = None if control.split() == ["True", "True"] else "core files are off on this system"
    need(missing, "ulimit -c unlimited")
