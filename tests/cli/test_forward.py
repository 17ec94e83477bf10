"""The pipe that a sidecar runs, as the program that it is there: a file, a socket, a signal."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from borrow.cli import forward
from borrow_fakes.lab import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def running(port: int) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """A pipe to `port`, and a client of it that is connected and says nothing."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        place = f"{folder}/sock"
        command = [sys.executable, "-I", forward.__file__, f"unix:{place}", f"tcp:{port}"]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        with socket.socket(socket.AF_UNIX) as client:

            def connected() -> bool:
                with contextlib.suppress(OSError):
                    client.connect(place)
                    return True
                return False

            try:
                wait_for(connected, why="the pipe")
                yield child, client
            finally:
                child.kill()
                child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to_without_a_word_though_a_client_keeps_its_connection(
    number: signal.Signals,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        target.settimeout(15)
        with running(target.getsockname()[1]) as (child, client):
            far, _ = target.accept()
            with far:
                client.sendall(b"ask")
                assert far.recv(3) == b"ask"
                far.sendall(b"answer")
                assert client.recv(6) == b"answer"
                child.send_signal(number)
                _, err = child.communicate(timeout=15)
    assert (child.returncode, err) == (0, "")


def test_a_client_is_left_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running(port) as (child, client):
        client.settimeout(15)
        assert client.recv(1) == b""
        assert child.poll() is None
