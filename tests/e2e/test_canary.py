"""A42 and A43: secrets walk every path, good and bad; then all that was written is searched."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from typing_extensions import override

from borrow_fakes.canaries import Canaries, ProcessWatch, files
from borrow_fakes.lab import BORROW, PASSPHRASE, Home, finish, home, wait_for
from borrow_fakes.team import ANN, Server
from borrow_fakes.tee import Tee

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

# Prints what the SDK was given, so that the test knows each secret of the session.
TELL = (
    "import boto3, json\n"
    "c = boto3.Session().get_credentials().get_frozen_credentials()\n"
    "print(json.dumps([c.access_key, c.secret_key, c.token]))\n"
)
# Solo mode as its own command starts it, by somebody who wants to see everything; on SIGUSR1 an
# exception comes out of nowhere, with a text that must not be repeated.
LOUD = """
import logging, signal, sys, threading, time
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
import boto3, aiohttp.web, aiohttp.client
boto3.set_stream_logger("")
def louder():
    while True:  # whatever level somebody sets later
        for name in ("", "aiohttp", "aiohttp.server", "aiohttp.access", "aiohttp.client", "asyncio",
                     "botocore", "boto3", "urllib3", "botocore.parsers", "botocore.auth",
                     "botocore.endpoint", "borrow", "borrow.daemon", "borrow.minter",
                     "borrow.approver"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        time.sleep(0.05)
threading.Thread(target=louder, daemon=True).start()
def boom(number, frame):
    if frame is not None and frame.f_code.co_name == "select":  # else the loop would only log it
        signal.signal(number, signal.SIG_IGN)
        raise RuntimeError("text-of-a-" + "crash-8fe1")
signal.signal(signal.SIGUSR1, boom)
sys.modules["uvloop"] = None  # asyncio's own loop tells much more when it debugs
from borrow.cli.solo import main
sys.exit(main())
"""
ECHOES = ("refuses", "garbage", "no-end", "cuts", "mints")


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
    with ProcessWatch(str(solo.state)) as watch:
        walk(solo, cloud, watch)


def walk(solo: Home, cloud: StandInProcess, watch: ProcessWatch) -> None:
    canaries = Canaries()
    printed: list[str] = []
    canaries.add("base secret key", cloud.base_key["SecretAccessKey"])
    canaries.add("passphrase", PASSPHRASE)
    bearer = solo.bearer("click")
    token = bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    canaries.add("bearer", token.removeprefix("Bearer "))

    # TOTP: enrolled, a wrong code, a right one with the right number. The later code is of the next
    # step, which the drift allows: the first may not be used again, and waiting for it takes long.
    begun = solo.control("POST", "/v1/totp").body
    canaries.add("totp secret", begun["secret"])
    app = pyotp.TOTP(begun["secret"])
    used = app.now()
    assert solo.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": used}).status == 200
    child = solo.spawn(BORROW, "run", "admin", "--", sys.executable, "-c", TELL)
    ask = solo.pending("admin")
    wrong = solo.decide(ask["request"], number=ask["number"], code="000000")
    printed.append(json.dumps(wrong.body))
    assert wrong.status >= 400
    now = datetime.now(UTC).timestamp()  # noqa: TID251  as a phone reads it
    code_ = app.at(int(now) + app.interval)
    assert solo.decide(ask["request"], number=ask["number"], code=code_).status == 200
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

    # While a call is held, all processes of the daemon are there to be looked at.
    held = solo.spawn(BORROW, "run", "machine", "--", sys.executable, "-c", TELL)
    wait_for(lambda: solo.asks(), why="a held call")
    daemon = solo.daemon_pid()
    for pid in (daemon, *children_of(daemon)):
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                data = Path(f"/proc/{pid}/{part}").read_bytes()
                assert canaries.found_in(data) == set(), f"{part} of {pid}"
    held.kill()
    held.communicate()

    log = solo.borrow("audit", "export").stdout
    printed.append(log)
    printed.append(json.dumps(solo.status()))
    solo.borrow("daemon", "stop")
    for text in printed:
        assert canaries.found_in(text) == set()
    assert canaries.found_under([solo.root]) == {
        # The test's own $CREDENTIALS_DIRECTORY, and nothing else in any form.
        "borrow-passphrase": {"passphrase"},
    }
    for path in files(solo.state):
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert re.search(r"mint\.end", log)
    assert len(watch.seen) > 5
    for argv, environ in watch.seen:
        if str(secret).encode() in argv:
            continue  # the person's own words, above
        borrowed = TELL.encode() in argv  # the command itself: its token is what it was given
        assert canaries.found_in(argv) == set()
        assert canaries.found_in(environ) <= ({"bearer"} if borrowed else set())


def test_a42_the_search_finds_what_is_there(tmp_path: Path) -> None:
    canaries = Canaries()
    canaries.add("one", 'a"b/c+d=e\u00e9f')
    for number, form in enumerate(
        (
            'x a"b/c+d=e\u00e9f y',
            json.dumps({"x": 'a"b/c+d=e\u00e9f'}),
            "a%22b%2Fc%2Bd%3De%C3%A9f",
            "YSJiL2MrZD1lw6lm",
        )
    ):
        path = tmp_path / str(number)
        path.write_text(form)
    assert canaries.found_under([tmp_path]) == {str(n): {"one"} for n in range(4)}
    with ProcessWatch(str(tmp_path)) as watch:
        words = [sys.executable, "-c", "import time; time.sleep(20)", "in-argv-7c2e"]
        child = subprocess.Popen(words, env={"HERE": str(tmp_path), "SECRET": "in-environ-91b0"})
        try:
            wait_for(lambda: watch.seen, why="the process to be seen")
        finally:
            child.kill()
            child.wait()
    argv, environ = b"".join(a for a, _ in watch.seen), b"".join(e for _, e in watch.seen)
    assert b"in-argv-7c2e" in argv
    assert b"in-environ-91b0" in environ


class EchoingSts:
    """An STS that repeats secrets in each way to fail, and then mints: `mode` says which next."""

    def __init__(self, base_secret: str) -> None:
        self.mode = ECHOES[0]
        self.secret, self.token = secrets.token_urlsafe(30), secrets.token_urlsafe(60)
        self._base_secret = base_secret
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> EchoingSts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, signed: str) -> tuple[int, str]:
        keys = (
            f"<AccessKeyId>ASIAFAKEFAKEFAKEFAKE</AccessKeyId><SecretAccessKey>{self.secret}"
            f"</SecretAccessKey><SessionToken>{self.token}</SessionToken>"
        )
        end = "in a while" if self.mode == "no-end" else "2099-01-01T00:00:00Z"
        match self.mode:
            case "refuses":
                text = f"{signed} by {self._base_secret}"  # what it was sent, and what it knows
                told = f"<Code>AccessDenied</Code><Message>{text}</Message>"
                return 403, f"<ErrorResponse><Error>{told}</Error></ErrorResponse>"
            case "garbage":
                return 200, f"<AssumeRoleResponse><<{self._base_secret}{keys}"
            case _:
                whole = f"<Credentials>{keys}<Expiration>{end}</Expiration></Credentials>"
                result = f"<AssumeRoleResult>{whole}</AssumeRoleResult>"
                return 200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>"

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                assert parse_qs(body.decode())["Action"] == ["AssumeRole"]
                status, text = outer._answer(self.headers.get("Authorization", ""))
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if outer.mode == "cuts" else data)

            @override
            def log_message(self, format: str, *args: object) -> None:
                return

        return Handler


def fetch(bearer: dict[str, str]) -> tuple[int, str]:
    where = urlsplit(bearer["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    with contextlib.closing(line):
        sent = bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        line.request("GET", where.path, headers={"Authorization": sent})
        answer = line.getresponse()
        try:
            return answer.status, answer.read().decode()
        except http.client.HTTPException:
            return answer.status, ""


def echo_roles() -> str:
    """One role for each way to fail, for an error is remembered for a while."""
    arn = 'aws = "arn:aws:iam::123456789012:role/Reader"\ntier = "low"\n'
    roles = "".join(f"[roles.echo-{mode}]\n{arn}" for mode in ECHOES)
    rule = f'[[rule]]\nid = "echoes"\nwho = ["*"]\nroles = {[f"echo-{m}" for m in ECHOES]}\n'
    return f'{roles}{rule}approve = {{ mode = "auto" }}\n'


@pytest.mark.timeout(120)
def test_a42_an_echoing_cloud_loud_loggers_and_a_crash_tell_nothing(
    solo: Home, cloud: StandInProcess
) -> None:
    canaries = Canaries()
    canaries.add("base secret key", cloud.base_key["SecretAccessKey"])
    canaries.add("passphrase", PASSPHRASE)
    canaries.add("text of an exception", "text-of-a-crash-8fe1")
    solo.borrow("daemon", "stop")
    policy = solo.state / "policy.toml"
    policy.write_text(policy.read_text() + echo_roles())
    printed: list[str] = []
    with EchoingSts(cloud.base_key["SecretAccessKey"]) as sts:
        canaries.add("session secret key", sts.secret)
        canaries.add("session token", sts.token)
        (solo.state / "cloud.toml").write_text(
            f'driver = "assume-role"\nendpoint_url = "{sts.endpoint}"\nregion = "us-east-1"\n'
        )
        loud = solo.spawn(
            *(sys.executable, "-X", "dev", "-c", LOUD),
            env={"PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"},
        )
        spoken = Drain(loud)
        wait_for(lambda: up(solo), seconds=30, why="solo mode to start")
        for mode in ECHOES:
            sts.mode = mode
            bearer = solo.bearer(f"echo-{mode}")
            canaries.add(f"bearer {mode}", bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
            if mode in ("cuts", "garbage", "no-end"):  # tried again for as long as somebody waits
                ended = len(solo.log("mint.end"))
                child = solo.spawn(BORROW, "run", f"echo-{mode}", "--", sys.executable, "-c", TELL)
                wait_for(partial(more_mints, solo, ended), why=f"a mint to fail: {mode}")
                child.send_signal(signal.SIGINT)
                printed.extend(finish(child)[1:])
                continue
            status, body = fetch(bearer)
            if not body:  # cut off, for the 200 was on its way: SDKs come again
                status, body = fetch(bearer)
            if mode == "mints":
                assert status == 200
                assert canaries.found_in(body) == {"session secret key", "session token"}
            else:
                assert "AccessDenied" in body
                printed.append(body)
        printed.append(json.dumps(solo.status()))
        assert wait_for(partial(ended_by, loud, signal.SIGUSR1), seconds=40, why="the crash") == 1
    out, err = spoken.all()
    assert "internal error (RuntimeError)" in err
    assert "DEBUG" in err  # it was loud
    assert len(list(solo.state.glob("crash-*.txt"))) == 1
    for text in (out, err, *printed):
        assert canaries.found_in(text) == set(), around(canaries, text)
    assert canaries.found_under([solo.root]) == {"borrow-passphrase": {"passphrase"}}


class Drain:
    """Reads what a process prints while it runs, so that it never waits for a full pipe."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._kept: list[list[str]] = [[], []]
        self._threads = []
        for kept, stream in zip(self._kept, (child.stdout, child.stderr), strict=True):
            assert stream is not None
            thread = threading.Thread(target=kept.extend, args=(stream,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def all(self) -> tuple[str, str]:
        for thread in self._threads:
            thread.join(10)
        return "".join(self._kept[0]), "".join(self._kept[1])


def around(canaries: Canaries, text: str) -> list[str]:
    """The beginnings of the lines at fault: enough to find who wrote them."""
    return [line[:60] for line in text.splitlines() if canaries.found_in(line)][:5]


def more_mints(solo: Home, than: int) -> bool:
    return len(solo.log("mint.end")) > than


def ended_by(child: subprocess.Popen[str], number: signal.Signals) -> int | None:
    """Its exit status, or None after another signal."""
    child.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(0.3)
    return None


def up(solo: Home) -> bool:
    try:
        return solo.control("GET", "/v1/status").status == 200
    except OSError:
        return False


def test_a42_a_crash_of_the_command_line_tells_nothing(solo: Home) -> None:
    """Without memory for the key derivation, with the base key and the passphrase in its hands."""
    canaries = Canaries()
    canaries.add("base secret key", "canary/of+a+base+key/in+the+hand+of+a+crash")
    canaries.add("passphrase", PASSPHRASE)
    before = (solo.state / "base-keys.sealed").read_bytes()
    given = {"access_key_id": "AKIAFAKEFAKEFAKEFAKE"}
    given["secret_access_key"] = "canary/of+a+base+key/in+the+hand+of+a+crash"
    done = subprocess.run(
        [sys.executable, "-c", STARVED, BORROW, "keys", "add", "--sealed"],
        env=solo.env,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("borrow: error: internal error (MemoryError)\nborrow: hint: ")
    assert len(list(solo.state.glob("crash-*.txt"))) == 1
    assert canaries.found_in(done.stdout + done.stderr) == set()
    assert canaries.found_under([solo.root]) == {"borrow-passphrase": {"passphrase"}}
    assert (solo.state / "base-keys.sealed").read_bytes() == before


STARVED = (
    "import os, resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_AS, (100 << 20,) * 2)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def private_parts(root: Path) -> Iterator[tuple[str, str]]:
    """(file name, private number) of every key under `root`."""
    for path in files(root):
        if path.suffix == ".json":
            for number in re.findall(r'"d": ?"([^"]{20,})"', path.read_text()):
                yield path.name, number


def on_the_wire(heard: str) -> Iterator[tuple[str, str]]:
    """Each secret that a device and the approver said to each other, by the name of its member."""
    for name in ("access_token", "auth_req_id"):
        yield from ((name, found) for found in re.findall(rf'"{name}": ?"([^"]+)"', heard))
    for name in ("client_assertion", "subject_token"):
        yield from ((name, found) for found in re.findall(rf"\b{name}=([^&\s]{{20,}})", heard))
    yield from (("bearer", found) for found in re.findall(r"Authorization: Bearer (\S+)", heard))


@pytest.mark.timeout(120)
def test_a42_a43_of_a_team_nothing_is_kept_but_hashes_and_own_keys(
    cloud: StandInProcess,
) -> None:
    canaries, names = Canaries(), set()
    settings = {
        "driver": "assume-role",
        "endpoint_url": cloud.endpoint,
        "region": "us-east-1",
    }
    with contextlib.ExitStack() as stack:
        tee = stack.enter_context(Tee())
        server = Server.make(
            cloud=settings, base_key=cloud.base_key, front=f"http://127.0.0.1:{tee.port}"
        )
        stack.enter_context(server)
        tee.to = server.port
        ann = stack.enter_context(home(AWS_ENDPOINT_URL=cloud.endpoint))
        canaries.add("base secret key", cloud.base_key["SecretAccessKey"])
        canaries.add("passphrase", PASSPHRASE)
        url = server.invitation(ANN)
        canaries.add("invitation key", parse_qs(urlsplit(url).fragment)["k"][0])
        watch = stack.enter_context(ProcessWatch(str(ann.state)))
        printed = list(outputs(ann, "join", "-", text=url + "\n"))
        child = ann.spawn(BORROW, "run", "click", "--", sys.executable, "-c", TELL)
        assert ann.decide(ann.pending("click")["request"]).status == 200
        code, out, err = finish(child)
        assert code == 0, err
        _, secret, session = json.loads(out)
        canaries.add("session secret key", secret)
        canaries.add("session token", session)
        printed += outputs(ann, "ask", "reader", "--wait")
        printed += outputs(ann, "return", "click")
        printed += outputs(ann, "audit", "export")
        ann.borrow("daemon", "stop")
        heard = tee.heard.decode("latin-1")
        assert canaries.found_in(heard) == set()  # nobody between device and minter reads a session
        for number, (name, said) in enumerate(sorted(set(on_the_wire(heard)))):
            canaries.add(f"{name} {number}", said)
            names.add(name)
        for name, part in (*private_parts(ann.state), *private_parts(server.home.root)):
            canaries.add(f"key in {name}", part)
        assert server.process is not None
        server.process.terminate()
        printed += finish(server.process)[1:]

        assert names == {
            *("access_token", "auth_req_id", "client_assertion", "subject_token", "bearer")
        }
        for text in printed:
            assert canaries.found_in(text) == set()
        found = canaries.found_under([ann.root, server.home.root])
        assert found.pop("borrow-passphrase") == {"passphrase"}
        assert found == {name: {f"key in {name}"} for name in found}
        assert {"device.json", "minter-sig.json", "minter-enc.json"} <= found.keys()
        for argv, environ in watch.seen:
            allowed = {"bearer"} if TELL.encode() in argv else set()
            assert canaries.found_in(argv) == set()
            assert canaries.found_in(environ) <= allowed


def outputs(one: Home, *words: str, text: str | None = None) -> tuple[str, str]:
    done = one.borrow(*words, text=text)
    return done.stdout, done.stderr
