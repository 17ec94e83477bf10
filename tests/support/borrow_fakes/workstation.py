"""The real daemon against a fake approver, and clients that fetch from it over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borrow.daemon.app import Started, run
from borrow.daemon.config import DaemonConfig, save_config
from borrow.daemon.device import create_device
from borrow.daemon.moments import Moment
from borrow.daemon.places import StateDir
from borrow.daemon.terminal import Drawn, Live
from borrow.daemon.world import World, system_moment
from borrow_fakes.approver import PERSON, FakeApprover, running_approver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow.daemon.caller import Session

BOTO = "User-Agent: python-urllib3/2.2"
GO = "User-Agent: Go-http-client/1.1"

# Prints what the daemon tells it; with a third argument it lives until its standard input ends.
PROGRAM = r"""
import socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
body = sys.argv[2].encode()
head = f"POST /v1/bearers HTTP/1.1\r\nHost: borrow\r\nContent-Length: {len(body)}\r\n\r\n"
line.sendall(head.encode() + body)
answer = b""
while piece := line.recv(65536):
    answer += piece
print(answer.partition(b"\r\n\r\n")[2].decode(), flush=True)
if len(sys.argv) > 3:
    sys.stdin.readline()
"""


@dataclass
class Shift:
    """The daemon's clocks, moved when told; they run on otherwise."""

    wall: float = 0.0
    boot: float = 0.0

    def now(self) -> Moment:
        real = system_moment()
        return Moment(real.wall + self.wall, real.boot + self.boot)

    def both(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@dataclass
class Workstation:
    """One machine: a daemon that can be stopped and started again on the same state."""

    fake: FakeApprover
    state: StateDir
    world: World
    shift: Shift
    lines: list[tuple[Session, str]]
    started: Started | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        ready: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self.stop = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(
            run(self.state, ready=ready.set_result, stop=self.stop, world=self.world)
        )
        both: list[asyncio.Future[Any]] = [self.task, ready]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        self.started = ready.result()

    async def end(self) -> None:
        self.stop.set()
        if self.task is not None:
            async with asyncio.timeout(5):
                await self.task
            self.task = None

    @property
    def port(self) -> int:
        assert self.started is not None
        return self.started.port

    # -- the endpoint --------------------------------------------------------------------------

    async def granted(self) -> str:
        """The bearer of a live grant of prod-admin that came without a question."""
        bearer = await self.bearer()
        self.fake.auto = True
        assert (await self.fetch("prod-admin", bearer)).status == 200
        self.fake.auto = False
        return bearer

    async def bearer(self, role: str = "prod-admin", **more: Any) -> str:
        told = await self.control("POST", "/v1/bearers", {"role": role} | more)
        return str(told["bearer"])

    async def another_program(
        self, body: dict[str, Any], *, session: bool = True, **environ: str
    ) -> dict[str, Any]:
        """What `POST /v1/bearers` tells a program of its own (session); it ends at once."""
        assert self.started is not None
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", PROGRAM, str(self.started.control), json.dumps(body)),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=session,
            env={"PATH": os.environ["PATH"]} | environ,
        )
        output, _ = await child.communicate()
        told: dict[str, Any] = json.loads(output)
        return told

    async def another_asks(self, role: str) -> None:
        """A person of another session asks for `role`, which is given at once."""
        assert self.started is not None
        body = json.dumps({"role": role, "wait": True})
        program = PROGRAM.replace("/v1/bearers", "/v1/ask")
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-c", program, str(self.started.control), body),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={"PATH": os.environ["PATH"]},
        )
        output, _ = await child.communicate()
        assert b'"granted"' in output, output

    def head(self, role: str, bearer: str, *lines: str) -> bytes:
        wanted = [f"GET /v1/credentials/{role} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        wanted += [f"Authorization: {bearer}"] if bearer else []
        return "".join(f"{line}\r\n" for line in [*wanted, *(lines or (BOTO,))]).encode() + b"\r\n"

    async def fetch(self, role: str, bearer: str, *lines: str, within: float = 10.0) -> Fetched:
        return await self.raw(self.head(role, bearer, *lines), within=within)

    async def raw(self, head: bytes, *, within: float = 10.0) -> Fetched:
        async with self.connection() as (reader, writer):
            writer.write(head)
            await writer.drain()
            try:
                async with asyncio.timeout(within):
                    return await read_answer(reader)
            except ConnectionError:
                return Fetched(-1, b"")

    @contextlib.asynccontextmanager
    async def connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    # -- the control socket --------------------------------------------------------------------

    async def control(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One call; its JSON, whatever the status was (under `status`)."""
        async with self.control_stream(method, path, body) as reader:
            answer = await read_answer(reader)
        return {"status": answer.status} | answer.json

    @contextlib.asynccontextmanager
    async def control_stream(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[asyncio.StreamReader]:
        assert self.started is not None
        reader, writer = await asyncio.open_unix_connection(str(self.started.control))
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: borrow\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        try:
            yield reader
        finally:
            writer.close()

    async def events(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The NDJSON of ask or extend, or the error as one object."""
        async with self.control_stream("POST", path, body) as reader:
            await reader.readuntil(b"\r\n\r\n")
            while line := await reader.readline():
                yield json.loads(line)

    async def ask(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        return [event async for event in self.events("/v1/ask", body)]


@dataclass(frozen=True)
class Fetched:
    """`status` -1: the connection was cut. `spaces`: bytes of padding before the document."""

    status: int
    body: bytes
    spaces: int = 0

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


async def read_answer(reader: asyncio.StreamReader) -> Fetched:
    """One HTTP answer, chunked, sized or ended by the connection."""
    head = (await _until_blank(reader)).decode("latin-1")
    if not head:
        return Fetched(-1, b"")
    status = int(head.split()[1])
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    if headers.get("transfer-encoding") == "chunked":
        body = await _chunks(reader)
        if body is None:
            return Fetched(-1, b"")
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Fetched(status, body.lstrip(b" "), len(body) - len(body.lstrip(b" ")))


async def _until_blank(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def _chunks(reader: asyncio.StreamReader) -> bytes | None:
    body = b""
    while True:
        line = await reader.readline()
        if not line:
            return None
        size = int(line, 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            return body


@contextlib.asynccontextmanager
async def workstation(*, enrolled: bool = True, **world: Any) -> AsyncIterator[Workstation]:
    """A started daemon with its own state directory, enrolled at a fake approver."""
    shift = Shift()
    async with running_approver(lambda: shift.now().wall) as fake:
        with tempfile.TemporaryDirectory(prefix="b-") as folder:
            state = StateDir.open(Path(folder, "s"))
            if enrolled:
                enrol(state, fake)
            lines: list[tuple[Session, str]] = []

            def say(session: Session, line: str, **how: bool) -> bool:
                lines.append((session, line))
                return True

            def draw(session: Session, line: Live, **how: bool) -> Drawn:
                lines.append((session, line.whole()))
                return Drawn.YES

            environ = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
            # All that runs through here runs without the fast lane too: BORROW_TEST_LANE=off.
            world.setdefault("lane", os.environ.get("BORROW_TEST_LANE") != "off")
            outside = World(now=shift.now, say=say, draw=draw, environ=environ)
            machine = Workstation(fake, state, outside._replace(**world), shift, lines)
            await machine.start()
            try:
                yield machine
            finally:
                await machine.end()


def enrol(state: StateDir, fake: FakeApprover) -> None:
    keys = create_device(state)
    fake.sig, fake.enc = keys.sig, keys.enc
    approver_pin, minter_pin = fake.pin()
    save_config(
        state,
        DaemonConfig(
            mode="team",
            issuer=fake.issuer,
            client_id=fake.client_id,
            person=PERSON,
            approver_pin=approver_pin,
            minter_pin=minter_pin,
        ),
    )
