"""The SDK matrix, on the raw wire: who is taken for Rust, and how long a held call is silent."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from borrow.daemon.techniques import technique_for
from borrow_fakes import silence
from borrow_fakes.disguise import Disguise
from borrow_fakes.lab import finish
from borrow_fakes.matrix import Cell, failed
from borrow_fakes.sdks import BOTO3, RUST, Sdk, here

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Table = Callable[..., Cell]

REASON: Final = "not during the freeze"
URL: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN"

fetching = [one for one in here() if not one.no_container]


@pytest.mark.parametrize("sdk", fetching, ids=[one.name.replace(" ", "-") for one in fetching])
def test_a_client_that_is_taken_for_rust_does_not_call_without_credentials(
    table: Table, sdk: Sdk
) -> None:
    """Only Rust is told a refusal in a `200`. Should the daemon ever err, nobody is harmed: each
    client gets that answer here, and none makes credentials of it."""
    cell = table(sdk, "taken for Rust, no")
    env = cell.env()
    where = urlsplit(env[URL])
    assert where.port is not None
    with Disguise(where.port) as relay:
        env[URL] = f"http://127.0.0.1:{relay.port}{where.path}"
        child = cell.start(env=env)
        request = cell.pending()
        cell.no(request, REASON)
        told = failed(child)
    assert set(relay.relayed) == {b"HTTP/1.1 200 OK"}
    assert cell.trail() == []  # not one call, signed or not
    assert cell.questions() == [request]
    explained = [technique_for(headers).explain for headers in relay.seen]
    assert explained == [sdk is RUST] * len(explained)  # by what it really sent
    assert (REASON in told) == (sdk is RUST), told
    cell.ok("ok, reason shown" if sdk is RUST else "ok, no call")


def test_rust_shows_no_reason_of_a_true_403(table: Table) -> None:
    """Why it gets another answer at all. An SDK that learns to read a 403 makes this fail."""
    cell = table(RUST, "unsigned calls")
    body = b'{"Code":"AccessDenied","Message":"%s"}' % REASON.encode()

    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}/x"
        child = cell.start(env=cell.env() | {URL: url})
        door.settimeout(20)
        line, _ = door.accept()
        with line:
            line.recv(4096)
            head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n"
            line.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            told = failed(child)
    assert "403" in told
    assert REASON not in told
    cell.ok("none")


def test_a_hundred_held_calls_each_hear_something_within_a_second(table: Table) -> None:
    """SDKs give up after a second of silence (§1). From three programs, ten as IMDS clients."""
    cell = table(BOTO3, "unsigned calls")
    # The best of three: a stall of the whole machine is not the daemon's.
    assert any(silences(cell) < 0.9 for _ in range(3))
    cell.home.control("POST", "/v1/imds", {})
    cell.ok("none")


def silences(cell: Cell) -> float:
    """Hold a hundred calls for 3 s; the longest that one of them heard nothing."""
    cell.role, machine = cell.bench.role(), cell.bench.role()
    cell.home.control("POST", "/v1/imds", {"role": machine})
    env, port = cell.env(), cell.home.status()["port"]
    sdk = asking(port, urlsplit(env[URL]).path, Authorization=env[TOKEN])
    own = [
        listen(cell, 45, sdk),
        listen(cell, 45, sdk),
        listen(cell, 10, imds(port, machine)),
    ]
    for child in own:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
    time.sleep(3)
    cell.yes(cell.pending())
    cell.yes(cell.pending(machine))
    found = [json.loads(finish(child)[1]) for child in own]
    assert [one["served"] for one in found] == [45, 45, 10]
    return float(max(max(one["first"], one["gap"]) for one in found))


def listen(cell: Cell, count: int, request: bytes) -> subprocess.Popen[str]:
    words = (sys.executable, silence.__file__, str(cell.home.status()["port"]), "2.5", str(count))
    child = cell.home.spawn(*words, typed=True)
    assert child.stdin is not None
    child.stdin.write(request.decode())
    child.stdin.close()
    child.stdin = None  # `communicate` would flush it
    return child


def asking(port: int, path: str, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n".encode()


def imds(port: int, role: str) -> bytes:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
        line.request(
            "PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        )
        token = line.getresponse().read().decode()
    path = f"/latest/meta-data/iam/security-credentials/{role}"
    return asking(port, path, X_aws_ec2_metadata_token=token)
