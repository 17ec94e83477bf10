"""A push service on the loopback: RFC 8030 on one side, Mozilla's autopush WebSocket on the other.

It is as strict as the real ones: the VAPID token is verified (RFC 8292) with cryptography alone,
which shares no code with the sender's; a TTL is required; bodies over 4,096 bytes are refused. A
real Firefox subscribes over the WebSocket; `subscribe` makes a browser of our own, whose messages
are opened with `http_ece`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import http_ece
from aiohttp import WSMsgType, web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from borrow.approver.serve import port_of, start

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 4_096  # bytes of a body
DAY = 86_400


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    plain = text.rstrip("=")  # Firefox sends padding
    return base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))


@dataclass
class Pushed:
    """One message that was taken. `said` is its payload, where the service has the keys."""

    channel: str
    headers: dict[str, str]
    claims: dict[str, Any]
    body: bytes
    said: Any = None


@dataclass
class FakeBrowser:
    """A subscription whose private part the test has."""

    endpoint: str
    channel: str
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    def to_json(self) -> dict[str, Any]:
        point = self.private.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": b64(point), "auth": b64(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def open(self, body: bytes) -> bytes:
        opened = http_ece.decrypt(
            body, private_key=self.private, auth_secret=self.auth, version="aes128gcm"
        )
        return bytes(opened)


class PushService:
    """`async with PushService(clock) as service:`. `answers` are given first, whatever is sent."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.pushed: list[Pushed] = []
        self.refused: list[str] = []  # why, of what was not taken
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.acknowledged: list[int] = []  # codes that a real browser sent: 100 is delivered
        self.slow: dict[str, asyncio.Event] = {}  # channel -> answered when set
        self.tries = 0
        self._keys: dict[str, str] = {}  # channel -> the application server's key, "" for any
        self._gone: set[str] = set()
        self._browsers: dict[str, FakeBrowser] = {}
        self._line: web.WebSocketResponse | None = None
        self._came = asyncio.Condition()

    async def __aenter__(self) -> PushService:
        app = web.Application(client_max_size=1 << 20)
        app.add_routes([web.get("/", self._websocket), web.post("/wpush/{channel}", self._post)])
        self._runner = await start(app)
        self.port = port_of(self._runner)
        return self

    async def __aexit__(self, *_: object) -> None:
        for event in self.slow.values():
            event.set()
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def subscribe(self, key: str = "") -> FakeBrowser:
        channel = str(uuid.uuid4())
        self._keys[channel] = key
        browser = FakeBrowser(f"{self.origin}/wpush/{channel}", channel)
        self._browsers[channel] = browser
        return browser

    def drop(self, browser: FakeBrowser) -> None:
        """It unsubscribed: from now on 410."""
        self._gone.add(browser.channel)

    async def wait_for(self, count: int, seconds: float = 40.0) -> list[Pushed]:
        """All that was taken, once it is at least `count`."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.pushed) >= count)
        return list(self.pushed)

    async def wait_for_tries(self, count: int, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: self.tries >= count)

    # -- the application server's side ---------------------------------------------------------

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        channel = request.match_info["channel"]
        if (event := self.slow.get(channel)) is not None:
            await event.wait()
        status, why = self._judge(request, channel, body)
        extra: dict[str, str] = {}
        if self.answers:
            status, extra = self.answers.popleft()
        if status == 201:
            await self._take(request, channel, body)
            extra = {"Location": f"{self.origin}/m/{secrets.token_hex(8)}"}
        else:
            self.refused.append(why or str(status))
        async with self._came:
            self.tries += 1
            self._came.notify_all()
        return web.Response(status=status, headers=extra)

    def _judge(self, request: web.Request, channel: str, body: bytes) -> tuple[int, str]:
        if channel in self._gone:
            return 410, "gone"
        if channel not in self._keys:
            return 404, "unknown"
        if not request.headers.get("TTL", "").isdigit():
            return 400, "no TTL"
        if request.headers.get("Content-Encoding") != "aes128gcm":
            return 415, "encoding"
        if len(body) > MOST:
            return 413, "too large"
        try:
            self._claims(request.headers.get("Authorization", ""), self._keys[channel])
        except (ValueError, KeyError, InvalidSignature) as exc:
            return 401, f"VAPID: {exc!r}"
        return 201, ""

    def _claims(self, header: str, wanted: str) -> dict[str, Any]:
        scheme, _, rest = header.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        if scheme != "vapid" or set(parts) != {"t", "k"}:
            raise ValueError("form")
        if wanted and unb64(parts["k"]) != unb64(wanted):
            raise ValueError("another key than the browser was given")
        head, claims, signature = parts["t"].split(".")
        if json.loads(unb64(head)) != {"typ": "JWT", "alg": "ES256"}:
            raise ValueError("header")
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(parts["k"]))
        raw = unb64(signature)
        half = len(raw) // 2
        numbers = (int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        signed = f"{head}.{claims}".encode()
        point.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
        said: dict[str, Any] = json.loads(unb64(claims))
        if said["aud"] != self.origin:
            raise ValueError("aud")
        if not self.clock() < said["exp"] <= self.clock() + DAY:
            raise ValueError("exp")
        if not said["sub"].startswith(
            ("mailto:", "https:", "http://127.0.0.1", "http://localhost")
        ):
            raise ValueError("sub")
        return said

    async def _take(self, request: web.Request, channel: str, body: bytes) -> None:
        claims = self._claims(request.headers["Authorization"], self._keys[channel])
        one = Pushed(channel, dict(request.headers), claims, body)
        if (browser := self._browsers.get(channel)) is not None:
            one.said = json.loads(browser.open(body))
        if self._line is not None and channel not in self._browsers:
            await self._line.send_json(
                {
                    "messageType": "notification",
                    "channelID": channel,
                    "version": secrets.token_hex(8),
                    "data": b64(body),
                    "headers": {"encoding": "aes128gcm"},
                }
            )
        async with self._came:
            self.pushed.append(one)
            self._came.notify_all()

    # -- Firefox's side ------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        self._line = line = web.WebSocketResponse(protocols=["push-notification"])
        await line.prepare(request)
        async for message in line:
            if message.type is not WSMsgType.TEXT:
                continue
            said = json.loads(message.data) if message.data != "{}" else {}
            answer = self._said(said)
            if answer is not None:
                await line.send_json(answer)
        return line

    def _said(self, said: dict[str, Any]) -> dict[str, Any] | None:
        match said.get("messageType"):
            case "hello":
                uaid = said.get("uaid") or uuid.uuid4().hex
                return {
                    "messageType": "hello",
                    "status": 200,
                    "uaid": uaid,
                    "use_webpush": True,
                    "broadcasts": {},
                }
            case "register":
                channel = str(said["channelID"])
                self._keys[channel] = str(said.get("key", ""))
                return {
                    "messageType": "register",
                    "channelID": channel,
                    "status": 200,
                    "pushEndpoint": f"{self.origin}/wpush/{channel}",
                }
            case "unregister":
                channel = str(said["channelID"])
                self._gone.add(channel)
                return {"messageType": "unregister", "channelID": channel, "status": 200}
            case "ack":
                self.acknowledged += [each.get("code", 100) for each in said.get("updates", [])]
                return None
            case "broadcast_subscribe":
                return None
            case _:
                return {}
