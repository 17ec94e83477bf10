"""`credential_process`: the helper as an SDK runs it, in an interpreter of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from borrow.daemon import credential, terminal
from borrow.protocol.errors import Refused
from borrow_fakes.workstation import Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HELPER = str(Path(credential.__file__))


async def run_helper(
    *arguments: str, environ: dict[str, str] | None = None
) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-S", "-E", HELPER, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ or {},
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def socket_of(machine: Workstation) -> str:
    assert machine.started is not None
    return str(machine.started.control)


async def test_it_prints_the_document_that_sdks_want() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        status, out, err = await run_helper(socket_of(machine), "prod-admin")
        assert (status, err) == (0, "")
        document = json.loads(out)
        assert set(document) == {
            "Version",
            "AccessKeyId",
            "SecretAccessKey",
            "SessionToken",
            "Expiration",
        }
        assert document["Version"] == 1
        assert machine.fake.last.request.context["via"] == "process"


async def test_a_refusal_is_exit_status_one_and_the_reason_on_stderr() -> None:
    async with workstation() as machine:
        machine.fake.refusal = Refused("no rule allows 'prod-admin'", state="policy")
        status, out, err = await run_helper(socket_of(machine), "prod-admin")
        assert (status, out) == (1, "")
        assert "borrow: error: no rule allows 'prod-admin'" in err


async def test_a_daemon_that_is_not_there_is_said_with_a_hint() -> None:
    status, out, err = await run_helper("/nonexistent/daemon.sock", "prod-admin")
    assert (status, out) == (1, "")
    assert err == "borrow: error: the daemon is not running\nborrow: hint: borrow daemon start\n"


def test_it_imports_what_an_interpreter_has_anyhow_and_two_modules_more() -> None:
    def imported(*arguments: str) -> set[str]:
        command = [sys.executable, "-I", "-S", "-E", "-X", "importtime", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines}

    more = imported(HELPER, "/nonexistent/daemon.sock", "prod-admin") - imported("-c", "pass")
    assert more == {"credential_process", "_socket"}


async def test_an_odd_name_never_reaches_the_daemon() -> None:
    for name in ("../x", "a b", "A", "x\r\nHost: y", ""):
        status, _, err = await run_helper("/nonexistent", name)
        assert status == 1
        assert "cannot be a role's name" in err


async def test_the_reason_of_the_environment_goes_along() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        environ = {"BORROW_REASON": "d\u00e9j\u00e0 vu & more=1"}
        status, _, _ = await run_helper(socket_of(machine), "prod-admin", environ=environ)
        assert status == 0
        assert machine.fake.last.request.role.justification == "d\u00e9j\u00e0 vu & more=1"


async def test_while_it_waits_it_tells_the_terminal_what_for() -> None:
    async with workstation(say=terminal.say, draw=terminal.draw) as machine:
        shown, task = await _in_a_terminal(machine)
        asked = await machine.fake.asked_for()
        line = await shown()
        assert f"number {asked.request.number}" in line
        await machine.fake.approve()
        status, rest = await task
        assert status == 0
        assert "borrow: prod-admin granted" in rest
        assert rest.endswith("\a")


async def test_a_call_that_is_answered_soon_is_told_in_one_line() -> None:
    async with workstation(say=terminal.say, draw=terminal.draw) as machine:
        machine.fake.auto = True
        _, task = await _in_a_terminal(machine)
        status, told = await task
        assert status == 0
        assert told.count("\n") == 1
        assert "prod-admin granted for" in told
        assert "not you? borrow not-me g-" in told


async def test_a_program_without_a_terminal_of_ours_gets_its_lines_over_the_socket() -> None:
    async with workstation() as machine:
        assert machine.started is not None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _RAW, str(machine.started.control)),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        asked = await machine.fake.asked_for()
        await asyncio.sleep(1.0)
        await machine.fake.approve()
        async with asyncio.timeout(10):
            out, _ = await process.communicate()
        lines = out.decode().splitlines()
        told = [line for line in lines if line.startswith("L ")]
        assert len(told) == 1
        assert f"number {asked.request.number}" in told[0]
        assert asked.id in told[0]
        assert lines[-1].startswith("D {")
        assert machine.lines == []


_RAW = """
import socket, sys
with socket.socket(socket.AF_UNIX) as call:
    call.connect(sys.argv[1])
    call.sendall(b"GET /v1/process/prod-admin HTTP/1.1\\r\\n\\r\\n")
    print(call.makefile().read(), end="")
"""


async def _in_a_terminal(
    machine: Workstation,
) -> tuple[Callable[[], Awaitable[str]], asyncio.Task[tuple[int, str]]]:
    """Start the helper with a terminal of its own; a reader up to the number, and how it
    ended: its exit status and what else the terminal shows."""
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _OPEN_TTY, os.ttyname(follower), sys.executable, "-I", "-S", "-E", HELPER),
        *(socket_of(machine), "prod-admin"),
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )

    async def shown() -> str:
        text = ""
        async with asyncio.timeout(10):
            while "number" not in text:
                text += (await asyncio.to_thread(os.read, leader, 4096)).decode()
        return text

    async def ended() -> tuple[int, str]:
        async with asyncio.timeout(10):
            status = await process.wait()
        os.set_blocking(leader, False)
        rest = ""
        with contextlib.suppress(BlockingIOError):
            rest = os.read(leader, 65536).decode()
        os.close(leader)
        os.close(follower)
        return status, rest

    return shown, asyncio.get_running_loop().create_task(ended())


_OPEN_TTY = """
import fcntl, os, sys, termios
terminal = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""
