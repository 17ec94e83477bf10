"""Things that are broken: one error line with a hint, a non-zero exit, and nothing changed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.cli import errors
from borrow.protocol.errors import BorrowError, Needs, Refused, Unavailable
from borrow_fakes.lab import Home, home
from borrow_fakes.solo_mode import POLICY, refused_with, set_up
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator


Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Every file with mode and content, but for what any start of a daemon may touch."""
    passing = re.compile(r"daemon\.(err|log|lock)|approver\.lock|.*\.db-(shm|wal)")
    found = {
        str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not passing.fullmatch(path.name)
    }
    if "config.json" in found:  # where the approver listens may change with the login
        mode, content = found["config.json"]
        found["config.json"] = (mode, re.sub(rb'"approver_socket": "[^"]*"', b"", content))
    return found


@pytest.fixture(scope="module")
def template() -> Iterator[Home]:
    """Set up, and the daemon stopped; copied for each test."""
    with home() as one:
        set_up(one)
        one.borrow("daemon", "stop")
        yield one


@pytest.fixture
def stopped(fresh: Home, template: Home) -> Home:
    """A workstation on which all is set up and nothing runs."""
    shutil.copytree(template.state, fresh.state)
    return fresh


@pytest.mark.parametrize("line", ["", "roles", "ask click", "run click -- true", "daemon start"])
def test_without_a_setup_each_command_says_how_to_get_one(fresh: Home, line: str) -> None:
    error, hint = refused_with(fresh.borrow(*line.split(), ok=False), 1)
    assert error == "borrow is not set up here"
    assert "borrow setup" in hint
    assert not fresh.state.exists()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_state_directory_open_to_others_is_refused(stopped: Home, mode: int) -> None:
    stopped.state.chmod(mode)
    before = snapshot(stopped.state)
    for line in ("roles", "run click -- true", "daemon start", "setup --yes"):
        error, hint = refused_with(stopped.borrow(*line.split(), ok=False), 1)
        assert f"{mode:04o}" in error
        assert hint == f"`chmod 700 {stopped.state}`"
    assert snapshot(stopped.state) == before
    assert stat.S_IMODE(stopped.state.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["config.json", "device.json", "minter-sig.json", "minter.db"])
def test_a_secret_file_open_to_others_is_refused(stopped: Home, name: str) -> None:
    (stopped.state / name).chmod(0o644)
    before = snapshot(stopped.state)
    error, hint = refused_with(stopped.borrow("roles", ok=False), 1)
    assert name in error
    assert hint.strip("`").startswith("chmod 600")
    assert snapshot(stopped.state) == before
    found = json.loads(stopped.borrow("doctor", "--json", ok=False).stdout)
    assert not found["ok"]
    assert any(name in each["message"] for each in found["findings"])


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("daemon.log", "link"),
        ("daemon.log", "folder"),
        ("daemon.err", "link"),
        ("daemon.err", "folder"),
        ("daemon.err", "pipe"),
    ],
)
def test_what_is_planted_in_place_of_a_log_is_not_written_to(
    stopped: Home, name: str, planted: str
) -> None:
    path, victim = stopped.state / name, stopped.root / "victim"
    path.unlink(missing_ok=True)
    match planted:
        case "link":
            path.symlink_to(victim)
        case "pipe":
            os.mkfifo(path, 0o600)
        case _:
            path.mkdir()
    error, _ = refused_with(stopped.borrow("roles", ok=False), 1)
    assert name in error
    assert not victim.exists()
    found = json.loads(stopped.borrow("doctor", "--json", ok=False).stdout)["findings"]
    assert any(name in each["message"] for each in found)


def test_a_state_directory_that_cannot_be_told_is_named_and_is_no_crash(fresh: Home) -> None:
    long = str(fresh.root / ("x" * 300))
    for line in ("roles", "setup --yes", "setup --dry-run", "doctor"):
        done = fresh.borrow(*line.split(), ok=False, env={"BORROW_STATE_DIR": long})
        assert done.returncode in (1, 4)
        assert "cannot use " in done.stderr + done.stdout
        assert "internal" not in done.stderr


def test_a_taken_port_is_said_and_not_evaded(stopped: Home) -> None:
    port = json.loads((stopped.state / "config.json").read_text())["port"]
    before = snapshot(stopped.state)
    with closing(socket.socket()) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        error, hint = refused_with(stopped.borrow("run", "click", "--", "true", ok=False), 1)
    assert error.startswith(f"port {port} on 127.0.0.1 is taken")
    assert "stop that program" in hint
    assert snapshot(stopped.state) == before
    stopped.borrow("roles")  # and free again, it is the same port
    assert stopped.status()["port"] == port


BAD_POLICIES = {
    "no TOML": "version = ",
    "an unknown key": POLICY + "\n[[rule]]\nidd = 1\n",
    "a rule nobody can answer": POLICY
    + '\n[[rule]]\nid = "p"\nwho = ["*@example.com"]\nroles = ["nothere"]\n'
    + 'approve = { mode = "auto" }\n',
    "a test that fails": POLICY
    + '\n[[test]]\nask = { user = "x@example.com", role = "click" }\nexpect = { mode = "auto" }\n',
}


@pytest.mark.parametrize("text", BAD_POLICIES.values(), ids=list(BAD_POLICIES))
def test_a_bad_policy_keeps_the_daemon_from_starting(stopped: Home, text: str) -> None:
    (stopped.state / "policy.toml").write_text(text)
    before = snapshot(stopped.state)
    error, _ = refused_with(stopped.borrow("roles", ok=False), 1)
    assert "policy.toml" in error
    assert snapshot(stopped.state) == before
    done = stopped.borrow("doctor", "--json", ok=False)
    assert done.returncode == 1
    assert "policy" in {f["what"] for f in json.loads(done.stdout)["findings"]}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("cloud.toml", 'driver = "magic"\n', "driver 'magic' is not known"),
        ("cloud.toml", 'drivr = "fake"\n', "unknown key 'drivr'"),
        ("cloud.toml", "driver = 3\n", "driver is not text"),
        ("cloud.toml", 'driver = "web-identity"\n', "lacks issuer"),
        ("config.json", "{", "not JSON"),
        ("config.json", '{"mode": "duo"}', "no known mode"),
        ("config.json", '{"mode": "solo", "extra": 1}', "unknown members"),
        ("device.json", "{}", "device.json"),
        ("issuer.json", "{}", "issuer.json"),
    ],
)
def test_a_broken_file_is_named_and_left_alone(
    stopped: Home, name: str, text: str, told: str
) -> None:
    (stopped.state / name).write_text(text)
    before = snapshot(stopped.state)
    error, _ = refused_with(stopped.borrow("inbox", ok=False), 1)
    assert told in error
    assert snapshot(stopped.state) == before


def test_an_approver_that_is_down_is_unavailable_not_refused(stopped: Home) -> None:
    fresh = stopped
    config = json.loads((fresh.state / "config.json").read_text())
    del config["approver_socket"]
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        config |= {"mode": "team", "issuer": f"http://127.0.0.1:{free.getsockname()[1]}"}
    (fresh.state / "config.json").write_text(json.dumps(config))
    before = snapshot(fresh.state)
    for line in ("roles", "inbox", "ask click", "explain click", "audit verify"):
        refused_with(fresh.borrow(*line.split(), ok=False), 4)
    assert snapshot(fresh.state) == before
    assert fresh.borrow("daemon", "status").returncode == 0
    done = fresh.borrow("doctor", "--json", ok=False)
    assert "approver" in {
        f["what"] for f in json.loads(done.stdout)["findings"] if f["level"] == "error"
    }
    # `run` starts its command: it waits for the approver when it first wants the role
    assert fresh.borrow("run", "click", "--", "echo", "up").stdout == "up\n"


FULL = r"""
mount -t tmpfs -o size=6m tmpfs "$ROOT" && mkdir -m 700 "$ROOT/home" "$ROOT/run"
cp -a "$FROM" "$ROOT/state"
borrow daemon start
dd if=/dev/zero of="$ROOT/fill" bs=1k 2>/dev/null
for line in "ask click" "ask click --json" "run dev-read -- true" "roles" "doctor"; do
  echo "== $line"; borrow $line 2>&1; echo "rc $?"
done
rm "$ROOT/fill"
echo "== again"; borrow ask click 2>&1; echo "rc $?"
borrow daemon stop
"""


def test_a_full_disk_is_said_by_every_command_refuses_nothing_for_good_and_is_found_by_doctor(
    stopped: Home,
) -> None:
    need(lacking("unshare"), "apt-get install --no-install-recommends util-linux")
    root = stopped.root / "full"
    root.mkdir()
    env = stopped.env | {"ROOT": str(root), "FROM": str(stopped.state), "HOME": f"{root}/home"}
    env |= {"XDG_RUNTIME_DIR": f"{root}/run", "BORROW_STATE_DIR": f"{root}/state"}
    flags = "-m" if os.getuid() == 0 else "-Urm"
    done = subprocess.run(
        ["unshare", flags, "sh", "-c", FULL],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    parts = done.stdout.split("== ")[1:]
    told = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}
    for line in ("ask click", "ask click --json", "run dev-read -- true", "roles"):
        assert "rc 4" in told[line], told
        assert "disk full" in told[line] or "is there room?" in told[line], told[line]
    assert "there is no room left where" in told["doctor"]
    assert "rc 1" in told["doctor"]
    assert "rc 0" in told["again"], told["again"]


READ_ONLY = r"""
mount --bind "$FROM" "$FROM" && mount -o remount,ro,bind "$FROM"
for line in "roles" "setup --yes" "run dev-read -- true" "doctor"; do
  echo "== $line"; borrow $line 2>&1; echo "rc $?"
done
"""


def test_a_state_directory_that_cannot_be_written_to_is_named_and_found_by_doctor(
    stopped: Home,
) -> None:
    need(lacking("unshare"), "apt-get install --no-install-recommends util-linux")
    flags = "-m" if os.getuid() == 0 else "-Urm"
    done = subprocess.run(
        ["unshare", flags, "sh", "-c", READ_ONLY],
        env=stopped.env | {"FROM": str(stopped.state)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    for part in done.stdout.split("== ")[1:]:
        assert "rc 1" in part, done.stdout
        assert "read-only" in part, part
        assert "BORROW_STATE_DIR to a folder" in part or "`borrow doctor` looks" in part, part


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file away, which root can")
def test_root_in_somebody_elses_home_is_told_to_leave_sudo_out(stopped: Home) -> None:
    os.chown(stopped.state, 12345, -1)
    _, hint = refused_with(stopped.borrow("roles", ok=False), 1)
    assert hint == "run this without sudo, as that user"


def test_a_state_directory_that_is_a_symlink_is_refused(fresh: Home) -> None:
    (fresh.root / "elsewhere").mkdir(mode=0o700)
    fresh.state.symlink_to(fresh.root / "elsewhere")
    refused_with(fresh.borrow("setup", "--yes", ok=False), 1)
    assert list((fresh.root / "elsewhere").iterdir()) == []


def test_a_socket_of_nobody_is_started_over(stopped: Home) -> None:
    """A daemon that was killed leaves its socket; the next command takes it away."""
    stopped.borrow("daemon", "start")
    stopped.kill_daemon()
    assert stopped.borrow("roles").returncode == 0


def test_a_login_without_a_runtime_directory_shares_its_daemon(stopped: Home) -> None:
    """ssh and cron have no XDG_RUNTIME_DIR: one daemon all the same."""
    usual = stopped.extra
    stopped.extra = {"XDG_RUNTIME_DIR": ""}
    stopped.borrow("daemon", "start")
    pid = json.loads(stopped.borrow("daemon", "status", "--json").stdout)["pid"]
    stopped.extra = usual
    assert json.loads(stopped.borrow("daemon", "status", "--json").stdout)["pid"] == pid
    assert stopped.borrow("roles").returncode == 0


def test_an_uncaught_exception_is_one_line_and_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from borrow.cli import main, overview

    state = tmp_path / "s"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("BORROW_STATE_DIR", str(state))

    def broken(*, as_json: bool) -> int:
        local_canary = "canary-in-a-local"
        try:
            raise KeyError("canary-in-the-cause" + local_canary[:0])
        except KeyError as exc:
            raise ValueError("canary-in-the-message") from exc

    monkeypatch.setattr(overview, "overview", broken)
    assert main.run([]) == errors.ERROR
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "borrow: error: internal error (ValueError)",
        f"borrow: hint: {errors.DOCTOR}",
    ]
    (crash,) = state.glob("crash-*.txt")
    assert stat.S_IMODE(crash.stat().st_mode) == 0o600
    text = crash.read_text()
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "in broken" in text
    assert "canary" not in text + told.err + told.out


def test_a_crash_in_a_task_group_names_the_task_that_failed() -> None:
    async def failing() -> None:
        raise KeyError("canary-in-the-message")

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())

    with pytest.raises(ExceptionGroup) as crash:
        asyncio.run(grouped())
    text = "\n".join(errors.crash_lines(crash.value))
    assert "builtins.KeyError" in text
    assert "in failing" in text
    assert "canary" not in text


def test_a_crash_loop_does_not_fill_the_disk(tmp_path: Path) -> None:
    for second in range(errors.MAX_CRASHES + 5):
        errors.write_crash(ValueError(), tmp_path, now=second + 10**9)
    assert len(list(tmp_path.iterdir())) == errors.MAX_CRASHES


def test_each_kind_of_error_has_its_exit_code_and_always_a_hint() -> None:
    table: dict[BorrowError, int] = {
        Refused("no"): 3,
        Refused("no", request="r-1"): 3,
        Unavailable("away"): 4,
        Needs("more", fields={}): 2,
        errors.WrongUse("what"): 2,
        errors.NotRunnable("gone", hint="", exit_code=127): 127,
        BorrowError("odd"): 1,
    }
    for error, code in table.items():
        assert errors.exit_code(error) == code
        _, hint = errors.error_lines(error)
        assert len(hint) > len("borrow: hint: ")


def test_an_error_text_never_acts_on_the_terminal() -> None:
    lines = errors.error_lines(Refused("\x1b[2J\r\nborrow: error: forged", hint="\x07"))
    assert len(lines) == 2
    assert not {"\x1b", "\x07", "\r", "\n"} & set("".join(lines))


def test_output_into_a_closed_pipe_is_no_error(stopped: Home) -> None:
    import subprocess

    from borrow_fakes.lab import BORROW

    line = f"{BORROW} roles --json | head -c 1"
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        env=stopped.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "{")
    assert os.environ.get("BORROW_STATE_DIR") is None


def test_no_code_of_the_project_comes_along_into_the_daemon(stopped: Home) -> None:
    """A shell in a project often has PYTHONPATH set; the daemon outlives that shell."""
    planted, mark = stopped.root / "project" / "aiohttp", stopped.root / "ran"
    planted.mkdir(parents=True)
    code = f"open({str(mark)!r}, 'w'); raise SystemExit"
    (planted / "__init__.py").write_text(code)
    env = {
        "PYTHONPATH": str(planted.parent),
        "PYTHONWARNINGS": "error",
        "PYTHONASYNCIODEBUG": "1",
        "AWS_SECRET_ACCESS_KEY": "canary",
    }
    assert stopped.borrow("roles", env=env).stderr == ""
    assert not mark.exists()
    given = Path(f"/proc/{stopped.daemon_pid()}/environ").read_bytes()
    assert b"PYTHON" not in given
    assert b"canary" not in given
