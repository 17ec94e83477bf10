"""What goes wrong in ordinary life: one clear line with a next step, and everything as it was."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.team import ANN, Server, join
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with mode and content, but for what only shows that a process ran."""
    passing = re.compile(r".*\.lock|.*\.db-(shm|wal)|daemon\.(err|log)")
    return {
        str(path.relative_to(folder)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not passing.fullmatch(path.name)
    }


def test_sts_that_refuses_is_told_and_the_next_call_works(
    solo: Home, cloud: StandInProcess
) -> None:
    bearer = solo.bearer("reader")
    cloud.knobs(sts_fail=("AccessDenied", 1))
    code, out, err = finish(solo.spawn(*BOTO3, env=bearer))
    assert code != 0
    assert "AccessDenied" in out + err
    wait_for(
        lambda: finish(solo.spawn(*BOTO3, env=bearer))[0] == 0,
        seconds=40,
        why="the remembered error to pass",
    )
    assert len(solo.log("grant.open")) == 1


def test_sts_that_is_slow_only_makes_the_call_wait(solo: Home, cloud: StandInProcess) -> None:
    cloud.knobs(sts_delay=4.0)
    try:
        code, out, err = finish(solo.spawn(*BOTO3, env=solo.bearer("reader")))
    finally:
        cloud.knobs(sts_delay=0.0)
    assert code == 0, err
    assert "got 5 bytes" in out


def test_a_wrong_code_is_told_and_the_question_stays_open(solo: Home) -> None:
    import pyotp

    begun = solo.control("POST", "/v1/totp").body
    app = pyotp.TOTP(begun["secret"])
    solo.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": app.now()})
    child = solo.spawn(BORROW, "run", "admin", "--", *BOTO3)
    ask = solo.pending("admin")
    with pexpect.spawn(
        BORROW, ["approve", ask["request"]], env=solo.env, encoding="utf-8", timeout=20
    ) as person:
        person.expect("number shown")
        person.sendline(ask["number"])
        person.expect("code of your")
        person.sendline("000000")
        person.expect(r"borrow: error: [^\r\n]+")
        person.expect(r"borrow: hint: [^\r\n]+")
        person.expect(pexpect.EOF)
    assert person.exitstatus != 0
    assert child.poll() is None
    assert solo.pending("admin")["request"] == ask["request"]


@pytest.fixture
def small_disk(cloud: StandInProcess) -> Iterator[Home]:
    """A workstation whose state directory is a disk of a few megabytes."""
    from .conftest import set_up

    need(None if os.geteuid() == 0 else "mounting a small disk needs root", "sudo make test")
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        one.state.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "borrow-test", str(one.state)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        need(mounted.stderr if mounted.returncode else None, "run as root, outside a container")
        try:
            set_up(one, cloud)
            yield one.start()
            one.borrow("daemon", "stop", ok=False)
        finally:
            subprocess.run(["umount", "-l", str(one.state)], check=False)


def test_a68_with_a_full_disk_nothing_leaves(small_disk: Home, cloud: StandInProcess) -> None:
    one = small_disk
    asked = cloud.sts_calls()
    bearer = one.bearer("reader")
    filler = one.state / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    code, out, err = finish(one.spawn(*BOTO3, env=bearer), seconds=60)
    assert code != 0
    assert "got" not in out
    assert cloud.sts_calls() == asked
    done = one.borrow("ask", "click", ok=False)
    assert done.returncode != 0
    error, hint = refused_with(done, done.returncode)
    assert "cannot be written" in error
    assert "disk" in hint
    filler.unlink()
    wait_for(lambda: finish(one.spawn(*BOTO3, env=bearer))[0] == 0, seconds=60, why="space to help")
    checked = json.loads(one.borrow("audit", "verify", "--json").stdout)
    assert checked["bad_seq"] is None, err


def test_a_clock_off_by_hours_is_named_with_both_times() -> None:
    need(lacking("faketime"), "apt-get install --no-install-recommends faketime")
    with Server.make() as server, home() as one:
        join(server, one, ANN)
        one.borrow("daemon", "stop", ok=False)
        shifted = {
            "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
            "FAKETIME": "+3h",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        # The daemon alone: this preload breaks Python's own time.sleep.
        daemon = one.spawn(sys.executable, "-m", "borrow.daemon", env=shifted)
        wait_for(lambda: answers(one), why="the daemon to start")
        error, hint = refused_with(one.borrow("ask", "reader", "--wait", ok=False, timeout=60), 1)
        assert "clock" in error
        assert "time" in hint
        daemon.terminate()
        finish(daemon)
        assert one.borrow("ask", "reader", "--wait").returncode == 0


def answers(one: Home) -> bool:
    try:
        return bool(one.status())
    except OSError:
        return False


@pytest.fixture
def folder(server_template: Home) -> Iterator[Home]:
    """A server's folder of its own, made by the real command, in which nothing runs."""
    import shutil

    with home() as one:
        shutil.copytree(server_template.root / "server", one.root / "server")
        one.extra["BORROW_SERVER_DIR"] = str(one.root / "server")
        yield one


@pytest.fixture(scope="module")
def server_template() -> Iterator[Home]:
    with home() as one:
        one.extra["BORROW_SERVER_DIR"] = str(one.root / "server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            issuer = f"http://127.0.0.1:{free.getsockname()[1]}"
        one.borrow("server", "init", "--issuer", issuer, "--admin", ANN)
        yield one


def refused_to_serve(one: Home, told: str) -> None:
    path = one.root / "server"
    before = snapshot(path)
    error, _ = refused_with(one.borrow("server", "serve", ok=False, timeout=30), 1)
    assert told in error
    assert before.items() <= snapshot(path).items()  # a first start may have made databases


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("policy.toml", "version = ", "policy.toml"),
        ("policy.toml", 'version = 1\n[[rule]]\nidd = "x"\n', "policy.toml"),
        ("server.toml", "isuer = 3\n", "server.toml: unknown key 'isuer'"),
        ("minter-sig.json", "{}", "minter-sig.json"),
    ],
)
def test_a_server_with_a_broken_file_does_not_start(
    folder: Home, name: str, text: str, told: str
) -> None:
    (folder.root / "server" / name).write_text(text)
    refused_to_serve(folder, told)


@pytest.mark.parametrize("name", ["", "minter-sig.json", "issuer.json"])
def test_a_server_whose_files_are_open_to_others_does_not_start(folder: Home, name: str) -> None:
    (folder.root / "server" / name).chmod(0o755 if not name else 0o644)
    refused_to_serve(folder, name or "open to others")


def test_a_server_whose_port_is_taken_does_not_start(folder: Home) -> None:
    text = (folder.root / "server/server.toml").read_text()
    found = re.search(r"^port = (\d+)", text, re.MULTILINE)
    assert found is not None
    with socket.create_server(("127.0.0.1", int(found[1]))):
        refused_to_serve(folder, f"port {found[1]}")
