"""A42 and A43: secrets walk every path, good and bad; then all that was written is searched."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyotp
import pytest

from borrow_fakes.lab import BORROW, PASSPHRASE, Home, finish, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

# Prints what the SDK was given, so that the test knows each secret of the session.
TELL = (
    "import boto3, json\n"
    "c = boto3.Session().get_credentials().get_frozen_credentials()\n"
    "print(json.dumps([c.access_key, c.secret_key, c.token]))\n"
)


class Canaries:
    """Every secret that the test saw, by a name to show instead of it."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def add(self, name: str, secret: str) -> None:
        assert len(secret) >= 6, name
        self.known[name] = secret

    def found_in(self, data: bytes) -> list[str]:
        return [name for name, secret in self.known.items() if secret.encode() in data]


def files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path


def children_of(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pid:
                    yield int(entry.name)
                    yield from children_of(int(entry.name))


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(data)
        line.settimeout(5)
        got = b""
        with contextlib.suppress(OSError):
            while piece := line.recv(65_536):
                got += piece
        return got


@pytest.mark.timeout(120)
def test_a42_a43_no_secret_is_left_anywhere(solo: Home, cloud: StandInProcess) -> None:
    canaries = Canaries()
    printed: list[str] = []
    canaries.add("base secret key", cloud.base_key["SecretAccessKey"])
    canaries.add("passphrase", PASSPHRASE)
    bearer = solo.bearer("click")
    token = bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    canaries.add("bearer", token.removeprefix("Bearer "))

    # TOTP: enrolled, a wrong code, a right one with the right number.
    begun = solo.control("POST", "/v1/totp").body
    canaries.add("totp secret", begun["secret"])
    app = pyotp.TOTP(begun["secret"])
    now = datetime.now(UTC).timestamp()  # noqa: TID251  as a phone reads it
    used = app.at(int(now) - app.interval)
    assert solo.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": used}).status == 200
    child = solo.spawn(BORROW, "run", "admin", "--", sys.executable, "-c", TELL)
    ask = solo.pending("admin")
    wrong = solo.decide(ask["request"], number=ask["number"], code="000000")
    printed.append(json.dumps(wrong.body))
    assert wrong.status >= 400
    assert solo.decide(ask["request"], number=ask["number"], code=app.now()).status == 200
    code, out, err = finish(child)
    assert code == 0, err
    _, secret, session = json.loads(out)
    canaries.add("session secret key", secret)
    canaries.add("session token", session)

    # Every way to fail: STS refuses and echoes, malformed requests, a wrong body, a crash.
    cloud.knobs(sts_fail=("AccessDenied", 1))
    failing = solo.spawn(BORROW, "run", "click", "--", sys.executable, "-c", TELL)
    request = solo.pending("click")["request"]
    solo.decide(request)
    printed.extend(finish(failing)[1:])
    port = solo.status()["port"]
    host = f"Host: 127.0.0.1:{port}\r\n"
    for bad in (
        f"GET /v1/credentials/click HTTP/1.1\r\n{host}Authorization {token}\r\n\r\n",
        f"GET /v1/credentials/click HTTP/1.1\r\n{host}Authorization: {token}\r\n X\r\n\r\n",
        f"GET /{token} HTTP/9.9\r\n{host}\r\n",
        f"GET /v1/credentials/{token} HTTP/1.1\r\n{host}Authorization: {token}\r\n\r\n",
        f"PUT /latest/api/token HTTP/1.1\r\n{host}X-Token: {token}\x00\r\n\r\n",
    ):
        printed.append(raw(port, bad.encode()).decode("latin-1"))
    for where, body in (
        ("/v1/bearers", {"role": secret}),
        (f"/v1/decisions/{session[:60]}", {"decision": secret}),
        ("/v1/totp/x", {"code": begun["secret"]}),
    ):
        printed.append(json.dumps(solo.control("POST", where, body).body))
    for words in (("approve", secret), ("explain", secret), ("run", secret, "--", "true")):
        done = solo.borrow(*words, ok=False)
        # The person's own words may come back to the person; nothing else may.
        printed.append((done.stdout + done.stderr).replace(secret, ""))

    # While a call is held: argv and environment of every process but the borrowed command.
    held = solo.spawn(BORROW, "run", "machine", "--", sys.executable, "-c", TELL)
    wait_for(lambda: solo.asks(), why="a held call")
    daemon = solo.daemon_pid()
    for pid in (daemon, *children_of(daemon)):
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                data = Path(f"/proc/{pid}/{part}").read_bytes()
                assert canaries.found_in(data) == [], f"{part} of {pid}"
    held.kill()
    held.communicate()

    log = solo.borrow("audit", "export").stdout
    printed.append(log)
    printed.append(json.dumps(solo.status()))
    solo.borrow("daemon", "stop")
    for text in printed:
        assert canaries.found_in(text.encode("utf-8", "surrogateescape")) == []
    expected = {
        # The one place of each secret that has to be kept, and its form there.
        "minter.db": {"totp secret"},
        "minter.db-wal": {"totp secret"},
        "borrow-passphrase": {"passphrase"},  # the test's own $CREDENTIALS_DIRECTORY
    }
    for path in files(solo.root):
        found = set(canaries.found_in(path.read_bytes()))
        assert found <= expected.get(path.name, set()), f"{sorted(found)} in {path.name}"
    for path in files(solo.state):
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert re.search(r"mint\.end", log)
