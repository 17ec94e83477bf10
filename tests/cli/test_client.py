"""The thin client against a server that answers well, badly, slowly, or as somebody else."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.client import MAX_LINE, NOT_RUNNING, Control, segment
from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def answering(*pieces: bytes, pause: float = 0.0, stay: bool = False) -> Iterator[Path]:
    """A Unix socket whose one client is sent `pieces`, `pause` seconds apart, then the end."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        path = Path(folder) / "s"
        done = threading.Event()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    connection.recv(65_536)
                    try:
                        for piece in pieces:
                            connection.sendall(piece)
                            done.wait(pause)
                        if stay:
                            done.wait(5)
                    except OSError:
                        return

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield path
            finally:
                done.set()
                thread.join()


def client(path: Path) -> Control:
    return Control(path, uid=os.getuid())


def whole(status: int, body: object) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data


def test_an_answer_is_read_however_its_end_is_told() -> None:
    for piece in (
        whole(200, {"a": 1}),
        b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a": 1}',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b'3\r\n{"a\r\n5;x=y\r\n": 1}\r\n0\r\n\r\n',
    ):
        with answering(piece) as path:
            assert client(path).get("/v1/status") == {"a": 1}


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
        (422, "needs", Needs),
        (403, "denied", Refused),
        (404, "not_found", Refused),
        (409, "misconfigured", Misconfigured),
        (400, "untrusted", Untrusted),
        (503, "unavailable", Unavailable),
        (500, "internal", Unavailable),
    ],
)
def test_an_error_comes_back_as_the_kind_it_was(
    status: int, state: str, kind: type[BorrowError]
) -> None:
    body = {"error": {"state": state, "message": "m", "hint": "h", "request": "r-1"}}
    body["error"] |= {"fields": {"reason": "x"}} if kind is Needs else {}  # type: ignore[dict-item]
    with answering(whole(status, body)) as path, pytest.raises(kind) as raised:
        client(path).post("/v1/x")
    assert (raised.value.message, raised.value.hint) == ("m", "h")


def test_an_approvers_own_errors_are_understood_too() -> None:
    body = {"error": "access_denied", "error_description": "no", "borrow_state": "policy"}
    with answering(whole(403, body)) as path, pytest.raises(Refused, match="no"):
        client(path).post("/admin/x")


@given(st.binary(max_size=200))
def test_garbage_is_an_error_of_ours_and_nothing_else(garbage: bytes) -> None:
    with answering(garbage) as path, pytest.raises(BorrowError):
        client(path).get("/v1/status")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100 + b"\r\n{}",),
        (b"x" * (MAX_LINE + 2),),
        (b"HTTP/1.1 200 OK\r\n\r\n[]",),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,),
    ],
)
def test_broken_answers_are_refused(pieces: tuple[bytes, ...]) -> None:
    with answering(*pieces) as path, pytest.raises(BorrowError):
        client(path).get("/v1/status")


def test_silence_ends_in_unavailable() -> None:
    with answering(stay=True) as path, pytest.raises(Unavailable, match="in time"):
        client(path).call("GET", "/v1/status", within=0.1)


def test_nobody_there_is_told_from_a_daemon_that_fails(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "dead"):
        with pytest.raises(Unavailable) as raised:
            client(path).get("/v1/status")
        assert raised.value.state == NOT_RUNNING
        assert not client(path).is_up()
        socket.socket(socket.AF_UNIX).close()


def test_another_users_socket_is_sent_nothing() -> None:
    with answering(stay=True) as path:
        with pytest.raises(Misconfigured) as raised:
            Control(path, uid=os.getuid() + 1).get("/v1/status")
        assert raised.value.state == "foreign_socket"
        with socket.socket(socket.AF_UNIX) as last:  # lets the server's thread end
            last.connect(str(path))


def test_events_come_one_by_one_with_ticks_between() -> None:
    pieces = (b"HTTP/1.1 200 OK\r\n\r\n", b'{"event": "a"}\n{"ev', b'ent": "b"}\n')
    with answering(*pieces, pause=0.15) as path:
        events = list(client(path).stream("/v1/ask", {}).events(0.05))
    assert [event for event in events if event] == [{"event": "a"}, {"event": "b"}]
    assert None in events


def test_a_stream_that_is_refused_at_once_raises() -> None:
    body = {"error": {"state": "policy", "message": "m", "hint": ""}}
    with answering(whole(403, body)) as path, pytest.raises(Refused):
        client(path).stream("/v1/ask", {})


def test_a_segment_cannot_leave_its_place() -> None:
    assert segment("../x?y#z") == "..%2Fx%3Fy%23z"
