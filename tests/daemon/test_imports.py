"""What an idle daemon does not carry."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAVY = ("boto3", "botocore", "keyring", "PIL", "pystray", "sqlalchemy", "click", "rich")
LATE = ("aiohttp", "joserfc", "cryptography")  # until something is asked


def test_an_idle_daemon_has_imported_nothing_heavy() -> None:
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        script = (
            "import asyncio, sys, json, os\n"
            "from pathlib import Path\n"
            "from borrow.daemon.app import run\n"
            "from borrow.daemon.logs import log_to\n"
            "from borrow.daemon.places import StateDir\n"
            "state = StateDir.open(Path(sys.argv[1]))\n"
            "log_to(state / 'daemon.log')\n"
            "stop = asyncio.Event()\n"
            "def ready(started):\n"
            "    asyncio.get_running_loop().call_later(0.2, stop.set)\n"
            "asyncio.run(run(state, ready=ready, stop=stop))\n"
            "print(json.dumps(sorted(sys.modules)))\n"
        )
        command = [sys.executable, "-c", script, f"{folder}/s"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {*HEAVY, *LATE}


def test_the_process_answers_on_its_socket_and_ends_in_order() -> None:
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        state = Path(folder, "s")
        environ = {"BORROW_STATE_DIR": str(state), "PATH": os.environ["PATH"], "HOME": folder}
        command = [sys.executable, "-m", "borrow.daemon"]
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE)
        try:
            answer = _status(state / "run" / "daemon.sock")
            assert answer.startswith(b"HTTP/1.1 200")
            again = subprocess.run(
                command, env=environ, capture_output=True, timeout=10, check=False
            )
            assert again.returncode == 1
            assert b"borrow: error: a daemon is already running" in again.stderr
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=5)
        assert (process.returncode, errors) == (0, b"")
        assert (state / "daemon.log").stat().st_mode & 0o077 == 0


def _status(path: Path) -> bytes:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(str(path))
                client.sendall(b"GET /v1/status HTTP/1.1\r\n\r\n")
                return client.recv(65536)
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the daemon did not listen")
