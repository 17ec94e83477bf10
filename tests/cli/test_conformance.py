"""`borrow conformance` against a little server that can do each thing right or wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner

from borrow.cli.conformance import _target, conformance
from borrow.cli.conforming import DENIAL, Finding, _answer, _timing, check
from borrow.cli.errors import WrongUse
from borrow.cli.wire import Target, exchange
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN: Final = "s3cret-token"
NOW: Final = 1_700_000_000.0


class Server:
    """Conforms, but for the `faults` it is told to have."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port, "/v1/credentials/r", TOKEN)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    head += line.recv(4096)
                self._answer(line, head.decode())

    def _answer(self, line: socket.socket, head: str) -> None:
        first, *rest = head.strip().split("\r\n")
        names = [row.partition(":")[0].lower() for row in rest]
        values = {row.partition(":")[0].lower(): row.partition(":")[2].strip() for row in rest}
        if problem := self._problem(first, names, values):
            status, word = problem
            text = f"no {head}" if "echo" in self.faults else word
            text += "x" * 2000 if "long" in self.faults else ""
            self._send(line, status, {"error": text})
        elif "denies" in self.faults:
            told: dict[str, Any] = dict.fromkeys(DENIAL, "no")
            if "thin denial" in self.faults:
                told = {"reason": "no"}
            self._send(line, 200 if "error in a 200" in self.faults else 403, told)
        else:
            self._hold(line)

    def _problem(
        self, first: str, names: list[str], values: dict[str, str]
    ) -> tuple[int, str] | None:
        method, path, _ = first.split()
        strange = names.count("host") != 1 or values["host"] != f"127.0.0.1:{self.port}"
        rules = {
            "host": (strange, 403),
            "token": (values.get("authorization") != TOKEN, 401),
            "browser": (bool({"origin", "sec-fetch-site"} & set(names)), 403),
            "proxy": ("x-forwarded-for" in names, 403),
            "target": (not path.startswith("/"), 400),
            "method": (method != "GET", 405),
        }
        for name, (broken, status) in rules.items():
            if broken and f"no {name} rule" not in self.faults:
                return status, name
        return None

    def _hold(self, line: socket.socket) -> None:
        if "late" in self.faults:
            time.sleep(0.7)
        expiry = datetime.fromtimestamp(NOW, UTC) + timedelta(
            seconds=-5 if "past" in self.faults else 90
        )
        form = "%Y-%m-%dT%H:%M:%S.123Z" if "fraction" in self.faults else "%Y-%m-%dT%H:%M:%SZ"
        body: dict[str, str] = dict.fromkeys(
            ("LastUpdated", "Type", "AccountId", "RoleArn", "SecretAccessKey", "Token"), "x"
        )
        body |= {"AccessKeyId": "x", "Code": "Success", "Expiration": expiry.strftime(form)}
        for key in ("Token", "Code"):
            if f"no {key}" in self.faults:
                del body[key]
        line.sendall(self._head(200) + b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n")
        time.sleep(1.0 if "silent" in self.faults else 0.2)
        document = json.dumps(body).encode()
        line.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(document), document))

    def _send(self, line: socket.socket, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        line.sendall(self._head(status) + b"Content-Length: %d\r\n\r\n%s" % (len(raw), raw))

    def _head(self, status: int) -> bytes:
        kind = "text/plain" if "type" in self.faults else "application/json"
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n"
        head += "" if "stored" in self.faults else "Cache-Control: no-store\r\n"
        head += "Access-Control-Allow-Origin: *\r\n" if "cors" in self.faults else ""
        head += "Content-Encoding: gzip\r\n" if "gzip" in self.faults else ""
        return head.encode()


@contextlib.contextmanager
def server(*faults: str) -> Iterator[Server]:
    made = Server(*faults)
    try:
        yield made
    finally:
        made.close()


def failures(*faults: str) -> set[str]:
    with server(*faults) as one:
        found = list(check(one.target, wait=5, now=NOW))
    return {finding.name for finding in found if finding.outcome in ("failed", "advice")}


def test_a_good_endpoint_passes_everything() -> None:
    assert failures() == set()


def test_a_good_no_passes_too() -> None:
    assert failures("denies") == set()


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("no token rule", "a call without a token is 401"),
        ("no token rule", "a wrong token is 401"),
        ("no host rule", "another Host is refused"),
        ("no host rule", "two Hosts are refused"),
        ("no host rule", "no Host is refused"),
        ("no browser rule", "a page's Origin is refused"),
        ("no browser rule", "a browser's Sec-Fetch-Site is refused"),
        ("no proxy rule", "a forwarded call is refused"),
        ("no target rule", "an absolute target is refused"),
        ("no method rule", "POST is refused"),
        ("echo", "refusals are small and repeat nothing"),
        ("long", "refusals are small and repeat nothing"),
        ("cors", "no Access-Control header on any answer"),
        ("late", "the first byte comes within 0.5 s"),
        ("silent", "no silence of 0.9 s while it waits"),
        ("type", "it is application/json"),
        ("stored", "nobody may store it"),
        ("gzip", "it is not compressed"),
        ("no Token", "the credential document is whole"),
        ("no Code", "Code is Success (.NET)"),
        ("fraction", "Expiration is in whole seconds with Z"),
        ("past", "Expiration is ahead"),
    ],
)
def test_each_check_can_fail(fault: str, found: str) -> None:
    assert found in failures(fault)


def test_a_no_without_the_sdks_keys_fails() -> None:
    assert failures("denies", "thin denial") == {"a no has every SDK's own keys"}


def test_an_error_after_a_200_fails() -> None:
    assert "the credential document is whole" in failures("denies", "error in a 200")


def test_the_command_exits_1_on_a_failed_must_and_shows_no_secret() -> None:
    with server("cors", "no Token") as one:
        words = [f"http://127.0.0.1:{one.port}/v1/credentials/r", "--token", TOKEN, "--json"]
        done = CliRunner().invoke(conformance, words, standalone_mode=False)
    assert done.return_value == 1
    shown = json.loads(done.stdout)
    assert shown["conforms"] is False
    assert TOKEN not in done.output
    assert {"check", "must", "outcome", "saw"} == set(shown["checks"][0])


@pytest.mark.parametrize("url", ["ftp://x/", "https://127.0.0.1/", "127.0.0.1:1", "http://[", ""])
def test_what_is_no_such_url_is_wrong_use(url: str) -> None:
    with pytest.raises(WrongUse):
        _target(url, "")


def test_a_token_with_a_line_break_is_wrong_use_and_not_repeated() -> None:
    with pytest.raises(WrongUse) as caught:
        _target("http://127.0.0.1:1/x", "abc\r\nX: y")
    assert "abc" not in str(caught.value)


def test_nobody_at_the_address_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = [f"http://127.0.0.1:{port}/x"]
    done = CliRunner().invoke(conformance, words, standalone_mode=False)
    assert isinstance(done.exception, Unavailable)


def test_an_endpoint_that_never_answers_fails_and_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = Target("127.0.0.1", mute.getsockname()[1], "/x", TOKEN)
        answer = exchange(target, b"GET", seconds=0.3)
        found: list[Finding] = [*_timing(answer, 0.3), *_answer(target, answer, NOW)]
    assert any(one.outcome == "failed" for one in found)
