"""The daemon's own places: what is used, what is refused, and what is said."""

import os
import subprocess
from pathlib import Path

import pytest

from borrow.daemon.logs import LARGEST, log_to, stop_logging
from borrow.daemon.places import (
    MAX_PRIVATE_FILE,
    StateDir,
    default_state_dir,
    lock,
    read_private,
    runtime_dir,
    socket_path,
    write_private,
)
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable
from borrow_fakes.edge import OTHER, SYSTEM_PYTHON, need_two_users
from borrow_fakes.tools import lacking, need


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/ann/.local/share/borrow"),
        ({"XDG_DATA_HOME": "/data"}, "/data/borrow"),
        ({"XDG_DATA_HOME": "relative"}, "/home/ann/.local/share/borrow"),
        ({"XDG_DATA_HOME": ""}, "/home/ann/.local/share/borrow"),
        ({"BORROW_STATE_DIR": "/state", "XDG_DATA_HOME": "/data"}, "/state"),
    ],
)
def test_the_state_directory_is_where_the_system_keeps_such_things(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert default_state_dir(environ, Path("/home/ann")) == Path(expected)


# -- the state directory -------------------------------------------------------------------------


def test_a_new_state_directory_is_closed_to_others(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path / "deep" / "state")
    assert mode_of(state.path) == 0o700
    assert StateDir.open(state.path, create=False) == state
    assert state / "x" == state.path / "x"


def test_a_missing_one_is_named_when_it_is_not_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"no folder {tmp_path}/state") as caught:
        StateDir.open(tmp_path / "state", create=False)
    assert caught.value.hint == "`borrow setup` makes it"
    assert not (tmp_path / "state").exists()


def test_a_symlink_is_not_a_state_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(Misconfigured, match="not a folder of its own"):
        StateDir.open(tmp_path / "state")


def test_a_file_is_not_a_state_directory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(Misconfigured, match="not a folder of its own"):
        StateDir.open(tmp_path / "state")


def test_a_folder_that_all_may_replace_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(Misconfigured, match="everybody may replace") as caught:
        StateDir.open(open_to_all / "state")
    assert caught.value.hint == f"`chmod o-w {open_to_all}`"


def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    need_two_users()
    state = StateDir.open(tmp_path / "state").path
    os.chown(state, OTHER, OTHER)
    with pytest.raises(Misconfigured, match=f"belongs to uid {OTHER}"):
        StateDir.open(state)


def test_a_path_that_acts_on_a_terminal_is_shown_escaped(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        StateDir.open(tmp_path / "a\x1b[2J", create=False)
    assert "\x1b" not in str(caught.value)


# -- private files -------------------------------------------------------------------------------


def test_what_was_written_is_read_and_private(tmp_path: Path) -> None:
    file = tmp_path / "token"
    assert read_private(file) is None
    write_private(file, b"one")
    write_private(file, b"two")
    assert (read_private(file), mode_of(file)) == (b"two", 0o600)


def test_a_symlink_is_neither_read_nor_followed_on_writing(tmp_path: Path) -> None:
    target, file = tmp_path / "target", tmp_path / "token"
    write_private(target, b"theirs")
    file.symlink_to(target)
    with pytest.raises(Misconfigured, match="is a symlink"):
        read_private(file)
    write_private(file, b"ours")
    assert (read_private(target), read_private(file)) == (b"theirs", b"ours")


def test_another_users_file_is_not_read(tmp_path: Path) -> None:
    need_two_users()
    file = tmp_path / "token"
    write_private(file, b"x")
    os.chown(file, OTHER, OTHER)
    with pytest.raises(Misconfigured, match=f"belongs to uid {OTHER}"):
        read_private(file)


def test_a_pipe_or_a_folder_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(Misconfigured, match="not a regular file"):
            read_private(tmp_path / name)


@pytest.mark.parametrize("reader", [False, True], ids=["nobody reads it", "it is read"])
def test_a_log_goes_to_a_file_and_to_nothing_else(tmp_path: Path, reader: bool) -> None:
    """A planted FIFO neither hangs the daemon's start nor gets its log."""
    planted = tmp_path / "daemon.log"
    os.mkfifo(planted, 0o600)
    handle = os.open(planted, os.O_RDONLY | os.O_NONBLOCK) if reader else None
    with pytest.raises(Misconfigured, match="not a regular file"):
        log_to(planted)
    if handle is not None:
        assert os.read(handle, 10) == b""
        os.close(handle)


def test_a_log_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").touch(0o644)
    with pytest.raises(Misconfigured, match="open to others"):
        log_to(tmp_path / "daemon.log")


def test_a_symlink_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "daemon.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured):
        log_to(tmp_path / "daemon.log")
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_log_makes_room_once(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    path.touch(0o600)
    os.truncate(path, LARGEST + 1)
    stop_logging(log_to(path))
    assert (path.stat().st_size, (tmp_path / "daemon.log.1").stat().st_size) == (0, LARGEST + 1)


def test_a_huge_file_is_not_ours(tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_private(file, b"")
    os.truncate(file, MAX_PRIVATE_FILE + 1)
    with pytest.raises(Misconfigured, match="too large"):
        read_private(file)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "token"
    target.mkdir()  # a rename onto a folder fails
    with pytest.raises(BorrowError):
        write_private(target, b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["token"]


def test_a_missing_folder_is_ours_to_say(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot use"):
        write_private(tmp_path / "no" / "token", b"x")


def test_a_full_disk_is_worth_another_try() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    # Not our own file, but the same words: the device refuses every byte.
    from borrow.daemon.places import _file_trouble

    try:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
    except OSError as exc:
        assert isinstance(_file_trouble(exc, Path("/x")), Unavailable)


# -- sockets -------------------------------------------------------------------------------------


def test_sockets_live_in_the_users_runtime_directory(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    state = StateDir.open(tmp_path / "state").path
    folder = runtime_dir(state, {"XDG_RUNTIME_DIR": str(run)})
    assert folder.parent == run
    assert folder.name.startswith("borrow-")
    assert len(folder.name) == len("borrow-") + 8
    assert mode_of(folder) == 0o700


def test_two_state_directories_never_share_a_socket(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(run)}
    states = [StateDir.open(tmp_path / name).path for name in ("a", "b")]
    assert len({runtime_dir(state, environ) for state in states}) == 2


@pytest.mark.parametrize("value", ["", "relative", "/no/such/folder", "/dev/null"])
def test_without_a_runtime_directory_they_live_in_the_state(tmp_path: Path, value: str) -> None:
    state = StateDir.open(tmp_path / "state").path
    assert runtime_dir(state, {"XDG_RUNTIME_DIR": value}) == state / "run"
    assert mode_of(state / "run") == 0o700


def test_a_socket_path_that_the_system_would_cut_is_refused() -> None:
    folder = Path("/" + "x" * 94)
    assert len(os.fsencode(socket_path(folder, "daemon.sock"))) == 107
    with pytest.raises(Misconfigured, match="108 bytes") as caught:
        socket_path(folder, "daemon1.sock")
    assert "BORROW_STATE_DIR" in caught.value.hint


def test_bytes_count_not_characters() -> None:
    with pytest.raises(Misconfigured, match="bytes"):
        socket_path(Path("/" + "é" * 60))


# -- one daemon ----------------------------------------------------------------------------------


def test_a_second_daemon_is_told_who_is_first(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path / "state").path
    with lock(state):
        first = f"already running.*pid {os.getpid()}"
        with pytest.raises(Misconfigured, match=first) as caught, lock(state):
            pass
        assert caught.value.hint == "`borrow daemon stop` ends it"
    with lock(state):
        pass


def test_a_killed_daemon_leaves_no_lock_behind(tmp_path: Path) -> None:
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    state = StateDir.open(tmp_path / "state").path
    with lock(state):
        pass
    code = "import fcntl,sys; f=open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX); "
    code += "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-c", code, str(state / "daemon.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with pytest.raises(Misconfigured, match="already running"), lock(state):
            pass
        first.kill()
        first.wait()
        with lock(state):
            pass


def test_a_lock_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path / "state").path
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (state / "daemon.lock").symlink_to(victim)
    with pytest.raises(Misconfigured, match="symlink"), lock(state):
        pass
    assert victim.read_text() == "precious"
