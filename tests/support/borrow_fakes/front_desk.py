"""A real approver over a real minter on a loopback socket, and the devices that talk to it.

Only the cloud and the clock are faked. `Client` is a device with an HTTP session: each method is
one call of the protocol and returns what came back, refusals included.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import pyotp

from borrow.approver.admin import build_admin_app
from borrow.approver.app import build_app
from borrow.approver.desk import DESK
from borrow.approver.serve import port_of, start
from borrow.approver.settings import ApproverSettings
from borrow.approver.store import Store
from borrow.minter.authority import Minter
from borrow.minter.drivers.fake import FakeDriver
from borrow.minter.inprocess import InProcessMinter
from borrow.minter.secret_files import MinterSecrets
from borrow.policy.load import load_policy
from borrow.protocol.assertion import TYPE_URN
from borrow.protocol.decision import seal_totp, sign_statement
from borrow.protocol.enrolment import read_invitation, sign_software_statement
from borrow.protocol.events import SecurityEvent, verify_event
from borrow.protocol.jose import unseal
from borrow.protocol.keys import PublicKeys, load_key, new_key
from borrow.protocol.oauth import (
    GRANT_CIBA,
    GRANT_CLIENT_CREDENTIALS,
    GRANT_EXCHANGE,
    TOKEN_ACCESS,
    TOKEN_CREDENTIALS,
)
from borrow.protocol.request import AwsRole
from borrow.protocol.strict import b64url, from_b64url
from borrow_fakes.minting import empty_database as empty_minter
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp import web
    from aiohttp.abc import AbstractResolver
    from joserfc.jwk import ECKey

    from borrow.approver.channels.ways import Ways
    from borrow.approver.waiting import Waiting

T = TypeVar("T")
ANN, BEA, CAT, EVE = (f"{name}@example.com" for name in ("ann", "bea", "cat", "eve"))
POLICY = """\
version = 1
[groups]
team = ["ann@example.com", "bea@example.com", "cat@example.com"]
[admins]
people = ["cat@example.com"]
[accounts]
dev = "111122223333"
prod = "444455556666"
[roles.dev-read]
aws = "arn:aws:iam::111122223333:role/Read"
tier = "low"
[roles.dev-write]
aws = "arn:aws:iam::111122223333:role/Write"
[roles.dev-click]
aws = "arn:aws:iam::111122223333:role/Click"
[roles.prod-admin]
aws = "arn:aws:iam::444455556666:role/Admin"
tier = "sensitive"
[[rule]]
id = "reads"
who = ["group:team"]
roles = ["dev-read"]
approve = { mode = "auto" }
[[rule]]
id = "writes"
who = ["group:team"]
roles = ["dev-write"]
require = { reason = 5 }
approve = { mode = "self", factor = ["totp"], match = true }
[[rule]]
id = "clicks"
who = ["group:team"]
roles = ["dev-click"]
approve = { mode = "self", factor = ["consent"] }
[[rule]]
id = "admin"
who = ["group:team"]
roles = ["prod-admin"]
max = "1h"
extensions = 1
approve = { mode = "peer", from = ["bea@example.com", "ann@example.com"], match = true }
"""
ROLES = {
    "dev-read": "arn:aws:iam::111122223333:role/Read",
    "dev-write": "arn:aws:iam::111122223333:role/Write",
    "dev-click": "arn:aws:iam::111122223333:role/Click",
    "prod-admin": "arn:aws:iam::444455556666:role/Admin",
}


@dataclass(slots=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def state(self) -> str:
        return str(self.body.get("borrow_state", ""))

    @property
    def error(self) -> str:
        return str(self.body.get("error", ""))

    def ok(self) -> dict[str, Any]:
        assert self.status in (200, 201), (self.status, self.body)
        return self.body


@dataclass(slots=True)
class Client:
    """One device's side of the wire."""

    device: FakeDevice
    session: aiohttp.ClientSession
    clock: Callable[[], float]
    url: str = ""  # where to send; the issuer unless a test moves it
    minter_enc: ECKey | None = None
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def client_id(self) -> str:
        return self.device.client_id

    async def send(self, method: str, path: str, **content: Any) -> Answer:
        base = self.url or self.device.issuer
        async with self.session.request(method, base + path, **content) as answer:
            text = await answer.text()
            return Answer(answer.status, json.loads(text or "{}"), dict(answer.headers))

    def auth(self) -> dict[str, str]:
        """Client authentication as form members."""
        return {
            "client_id": self.client_id,
            "client_assertion_type": TYPE_URN,
            "client_assertion": self.device.assertion(self.clock()),
        }

    async def form(self, path: str, **members: str) -> Answer:
        return await self.send("POST", path, data=self.auth() | members)

    # -- borrowing -----------------------------------------------------------------------------

    def signed(self, role: str = "prod-admin", **changes: Any) -> str:
        arn = changes.pop("arn", ROLES.get(role, ROLES["prod-admin"]))
        reason = changes.pop("reason", "a good reason")
        seconds = changes.pop("seconds", 1800)
        asked = AwsRole(role, arn, seconds, justification=reason)
        return self.device.signed(self.clock(), **({"role": asked} | changes))

    async def ask(self, role: str = "prod-admin", **changes: Any) -> Answer:
        return await self.form("/bc-authorize", request=self.signed(role, **changes))

    async def poll(self, auth_req_id: str) -> Answer:
        return await self.form("/token", grant_type=GRANT_CIBA, auth_req_id=auth_req_id)

    async def cancel(self, auth_req_id: str) -> Answer:
        return await self.form(
            "/revoke", token=auth_req_id, token_type_hint="urn:borrow:auth_req_id"
        )

    async def exchange(self, token: str, role: str, **changes: str) -> Answer:
        members = {
            "grant_type": GRANT_EXCHANGE,
            "subject_token": token,
            "subject_token_type": TOKEN_ACCESS,
            "requested_token_type": TOKEN_CREDENTIALS,
            "resource": role,
        }
        return await self.form("/token", **(members | changes))

    async def borrow(self, role: str = "dev-read") -> dict[str, Any]:
        """Ask for a role that policy gives by itself, and collect it."""
        asked = (await self.ask(role)).ok()
        return (await self.poll(asked["auth_req_id"])).ok()

    # -- with an access token ------------------------------------------------------------------

    async def bearer(self, scope: str) -> dict[str, str]:
        token, until = self.tokens.get(scope, ("", 0.0))
        if self.clock() >= until:
            answer = await self.form("/token", grant_type=GRANT_CLIENT_CREDENTIALS, scope=scope)
            token = answer.ok()["access_token"]
            self.tokens[scope] = (token, self.clock() + answer.body["expires_in"])
        return {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, scope: str = "catalogue") -> Answer:
        return await self.send("GET", path, headers=await self.bearer(scope))

    async def post(self, path: str, body: dict[str, Any], scope: str = "decide") -> Answer:
        return await self.send("POST", path, json=body, headers=await self.bearer(scope))

    async def events(
        self, *acks: str, wait: bool = False, presence: str = ""
    ) -> dict[str, SecurityEvent]:
        """Verified events by jti; `acks` are sent along."""
        body: dict[str, Any] = {"ack": list(acks), "returnImmediately": not wait}
        body |= {"urn:borrow:presence": presence} if presence else {}
        sets = (await self.post("/events", body, scope="events")).ok()["sets"]
        jwks = (await self.send("GET", "/jwks")).ok()
        keys = PublicKeys.from_jwks(jwks, "sig")
        return {
            jti: verify_event(
                token,
                keys,
                issuer=self.device.issuer,
                audience=self.client_id,
                now=self.clock(),
            )
            for jti, token in sets.items()
        }

    # -- answering -----------------------------------------------------------------------------

    async def statement(self, request: str, decision: str = "approve", **query: str) -> bytes:
        path = f"/decisions/{request}?decision={decision}"
        path += "".join(f"&{name}={value}" for name, value in query.items())
        return from_b64url((await self.get(path, "decide")).ok()["statement"])

    async def say(self, request: str, decision: str, **body: Any) -> Answer:
        return await self.post(f"/decisions/{request}", {"decision": decision, **body})

    async def approve(self, request: str, kind: str = "device", **query: str) -> Answer:
        """By this device's key (`device`, `consent`)."""
        data = await self.statement(request, **query)
        evidence = {"kind": kind, "token": sign_statement(data, self.device.sig)}
        return await self.say(request, "approve", statement=b64url(data), evidence=evidence)

    async def approve_late(self, request: str) -> Answer:
        """A yes without a statement: what is too late is refused before that matters."""
        return await self.say(request, "approve")

    async def approve_by_code(self, request: str, secret: str, **query: str) -> Answer:
        data = await self.statement(request, **query)
        token = self.seal_code(data, secret)
        evidence = {"kind": "totp", "token": token}
        return await self.say(request, "approve", statement=b64url(data), evidence=evidence)

    def seal_code(self, data: bytes, secret: str) -> str:
        assert self.minter_enc is not None
        code = pyotp.TOTP(secret).at(int(self.clock()))
        return seal_totp(data, code, self.device.sig, self.minter_enc)

    async def enrol_codes(self) -> str:
        """Set up one-time codes; the secret."""
        begun = (await self.post("/totp", {}, scope="manage")).ok()
        shown = json.loads(unseal(begun["sealed"], self.device.enc, "borrow-totp-secret+jwe"))
        name = begun["enrolment"]
        code = self.seal_code(name.encode(), shown["secret"])
        (await self.post(f"/totp/{name}", {"code": code}, scope="manage")).ok()
        return str(shown["secret"])


@dataclass(slots=True)
class FrontDesk:
    """Approver and minter in one process, on files in `folder`; restartable."""

    folder: Path
    clock: Callable[[], float]
    webhooks: tuple[str, ...] = ()
    channels: dict[str, Ways] = field(default_factory=dict)
    push_allow_hosts: tuple[str, ...] = ()
    resolver: AbstractResolver | None = None  # finds those that the approver sends to
    vapid: ECKey = field(default_factory=new_key)
    long_poll: float = 5.0
    patience: float = 15.0  # seconds for a head, and for a body
    calls: tuple[int, float] = (200, 20.0)  # of one device: at once, and a second after that
    policy: str = POLICY
    port: int = 0
    a: ECKey = field(default_factory=new_key)
    secrets_of_m: MinterSecrets = field(default_factory=lambda: MinterSecrets(new_key(), new_key()))
    minter: Minter = field(init=False)
    app: web.Application = field(init=False)
    admin_socket: Path = field(init=False)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _session: aiohttp.ClientSession = field(init=False)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        """Where people open the pages: passkeys want a name."""
        return f"http://localhost:{self.port}"

    async def open(self) -> None:
        """Start; a later `open` finds the same port and files."""
        self.port = self.port or free_port()
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        )
        # Answers that were sent are read before the session that reads them is closed.
        self._stack.push_async_callback(asyncio.sleep, 0.01)
        policy = load_policy(self.policy)
        _begin_with(self.folder / "minter.db", empty_minter)
        _begin_with(self.folder / "approver.db", _empty_approver)
        self.minter = Minter(
            self.folder / "minter.db",
            issuer=self.issuer,
            keys=self.secrets_of_m,
            policy=lambda: policy,
            driver=FakeDriver(self.clock, secrets.token_bytes),
            clock=self.clock,
            public_url=self.origin,
        )
        self._stack.callback(self.minter.close)
        settings = ApproverSettings(
            issuer=self.issuer,
            public_url=self.origin,
            db=self.folder / "approver.db",
            webhooks=self.webhooks,
            channels=self.channels,
            push_allow_hosts=self.push_allow_hosts,
            push_contact="mailto:ops@example.com",
            deciders=policy.deciders,
            admins=lambda: policy.admins,
            long_poll=self.long_poll,
            body_within=self.patience,
            sweep_every=0.1,
            calls_burst=self.calls[0],
            calls_rate=self.calls[1],
        )
        self.app = build_app(
            settings,
            minter=InProcessMinter(self.minter),
            signer=self.a,
            vapid=self.vapid,
            resolver=self.resolver,
            clock=self.clock,
        )
        runner = await start(self.app, port=self.port, head_within=self.patience)
        self._stack.push_async_callback(runner.cleanup)
        assert port_of(runner) == self.port
        self.admin_socket = self.folder / "admin.sock"
        admin = await start(build_admin_app(self.app), unix=self.admin_socket)
        self._stack.push_async_callback(admin.cleanup)

    async def close(self) -> None:
        await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()

    async def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        connector = aiohttp.UnixConnector(str(self.admin_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://localhost{path}", json=body) as answer,
        ):
            return Answer(answer.status, await answer.json(), dict(answer.headers))

    async def join(self, person: str, name: str = "") -> Client:
        """A new device of `person`, by invitation."""
        url = (await self.admin("POST", "/admin/invite", {"person": person})).ok()["url"]
        device = FakeDevice(owner=person, issuer=self.issuer)
        statement = sign_software_statement(
            read_invitation(url),
            device.jwks,
            device_name=name or f"{person}'s laptop",
            now=self.clock(),
            jti=secrets.token_urlsafe(18),
        )
        client = self.client(device)
        body = {"software_statement": statement}
        answer = (await client.send("POST", "/register", json=body)).ok()
        device.client_id = answer["client_id"]
        return client

    def client(self, device: FakeDevice) -> Client:
        enc = load_key(self.minter.keys().enc, private=False)
        return Client(device, self._session, self.clock, minter_enc=enc)

    def reconnect(self, client: Client) -> None:
        """After a restart: the old session is closed."""
        client.session = self._session

    async def held_poll(self, client: Client, auth_req_id: str) -> asyncio.Task[Answer]:
        """A poll of `client` that is known to be waiting."""
        return await self.hold(client.poll(auth_req_id))

    async def held_events(
        self, client: Client, *acks: str
    ) -> asyncio.Task[dict[str, SecurityEvent]]:
        await client.bearer("events")
        return await self.hold(client.events(*acks, wait=True))

    async def hold(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start `call` and return when the approver holds it."""
        before = self.held
        task = asyncio.ensure_future(call)
        for _ in range(1_000):
            if self.held > before:
                return task
            await asyncio.sleep(0.005)
        raise AssertionError("the call does not wait")

    @property
    def waiting(self) -> Waiting:
        return self.app[DESK].waiting

    @property
    def held(self) -> int:
        return self.waiting.count


def _begin_with(path: Path, empty: Callable[[], bytes]) -> None:
    """Migrating once is enough for a suite."""
    if not path.exists():
        path.write_bytes(empty())
        path.chmod(0o600)


@cache
def _empty_approver() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "approver.db"
        Store(path)._migrate()
        return path.read_bytes()


def free_port() -> int:
    import socket

    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
