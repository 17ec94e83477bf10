"""An approver in memory, speaking the wire with real signatures, that does what a test tells it.

It keeps no rules: a test says what each role needs, who says yes or no and when, and what fails.
Everything it was asked is counted, so that a test can say "one request" or "no upstream call".
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.protocol.assertion import verify_assertion
from borrow.protocol.credentials import AwsCredentials, SealedFor, seal_credentials
from borrow.protocol.decision import Statement
from borrow.protocol.errors import BorrowError, Needs, Refused, Unavailable
from borrow.protocol.events import NOTICE, SESSION_REVOKED, SecurityEvent, sign_event
from borrow.protocol.ids import GrantId, new_client_id, new_grant_id, new_request_id
from borrow.protocol.jose import sign
from borrow.protocol.keys import PublicKeys, new_key, pair_pin, public_jwk, thumbprint
from borrow.protocol.oauth import ACR, GRANT_CIBA, GRANT_EXCHANGE, HINT_AUTH_REQ_ID, to_wire
from borrow.protocol.request import RequestObject, verify_request
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from joserfc.jwk import ECKey

PERSON = "ann@example.com"
_STATUS = {"authorization_pending": 400, "needs": 400, "unavailable": 503, "throttled": 429}


def role_entry(name: str, **changes: Any) -> dict[str, Any]:
    """One line of the catalogue."""
    entry = {
        "name": name,
        "arn": f"arn:aws:iam::111122223333:role/{name}",
        "account": "111122223333",
        "tier": "normal",
        "share": "session",
        "imds": False,
        "base": "",
        "allows": [],
        "region": "eu-central-1",
        "max": 3600,
        "mode": "peer",
        "rule": name,
        "factors": ["device"],
        "match": False,
        "needs": {},
    }
    return entry | changes


@dataclass(slots=True)
class Asked:
    """One request as it stands. `state` is the protocol's word."""

    id: str
    request: RequestObject
    hash: str
    ends: float
    state: str = "pending"
    reason: str = ""
    grant: str = ""
    auth_req_ids: set[str] = field(default_factory=set)
    jws: str = field(default="", repr=False)


@dataclass(slots=True)
class Granted:
    id: str
    asked: Asked
    ends: float
    state: str = "active"
    token: str = ""
    mints: int = 0


class FakeApprover:
    """Start with `running_approver`. `calls` counts each endpoint."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:  # noqa: TID251  an edge
        self.clock = clock
        self.a, self.m, self.m_enc = new_key(), new_key(), new_key()
        self.sig: ECKey | None = None
        self.enc: ECKey | None = None
        self.client_id = new_client_id(clock(), secrets.token_bytes(10))
        self.issuer = ""
        self.calls: Counter[str] = Counter()
        self.roles = {name: role_entry(name) for name in ("prod-admin", "prod-logs")}
        self.asked: dict[str, Asked] = {}
        self.grants: dict[str, Granted] = {}
        self.decided: list[dict[str, Any]] = []
        self.acked: list[str] = []
        self.auto = False  # grant at once
        self.needs: dict[str, dict[str, str]] = {}  # by role, until a reason is given
        self.refusal: BorrowError | None = None  # what /bc-authorize answers instead
        self.mint_error: BorrowError | None = None
        self.down = False  # every call is answered with 503
        self.lies: dict[str, Any] = {}  # members of the statement, other than asked for
        self.told: dict[str, Any] = {}  # members of what is shown, other than asked for
        self.this_device = True  # whether the grants are listed as the asking device's
        self.hold_answers = False  # a decision is known and its answer does not leave
        self.hold_releases = False  # a grant that was given back is still open here
        self.presence: list[object] = []  # what the polls said of it, None for nothing
        self.hold_events = False  # /events never answers: a partition of this path only
        self.pending = 900
        self.grant_seconds = 3600
        self.credential_seconds = 3600
        self.event_poll = 20.0
        self._changed = asyncio.Condition()
        self._sets: dict[str, str] = {}

    # -- what a test does ----------------------------------------------------------------------

    def pin(self) -> tuple[str, str]:
        return thumbprint(self.a), pair_pin(self.m, self.m_enc)

    @property
    def last(self) -> Asked:
        return list(self.asked.values())[-1]

    async def asked_for(self, count: int = 1) -> Asked:
        """Wait until `count` different requests came; the last one."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)
        return self.last

    async def approve(self, asked: Asked | None = None) -> Granted:
        asked = asked or self.last
        grant = self._grant(asked)
        await self._tell_waiting()
        return grant

    async def deny(self, asked: Asked | None = None, reason: str = "not today") -> None:
        asked = asked or self.last
        asked.state, asked.reason = "denied", reason
        await self._tell_waiting()

    async def revoke(self, grant: Granted) -> str:
        """The jti of the event that tells the device."""
        grant.state = "revoked"
        return await self.tell(SESSION_REVOKED, f"grant:{grant.id}", {})

    async def tell(self, kind: str, subject: str, details: dict[str, Any]) -> str:
        jti = secrets.token_urlsafe(16)
        now = int(self.clock())
        event = SecurityEvent(self.issuer, self.client_id, jti, now, kind, subject, details)
        self._sets[jti] = sign_event(event, self.a)
        await self._tell_waiting()
        return jti

    async def notice(self, text: str, role: str) -> str:
        details = {"kind": "grant_opened", "role": role, "text": text, "hint": ""}
        return await self.tell(NOTICE, "request:r-0", details)

    async def opened(self, grant: Granted) -> str:
        """The notice of a grant, as the real approver words it."""
        role = grant.asked.request.role.identifier
        names = {"grant": grant.id, "request": grant.asked.id}
        text = f"{PERSON} may use {role} now"
        details = {"kind": "grant_opened", "role": role, "text": text, "hint": "", **names}
        return await self.tell(NOTICE, f"grant:{grant.id}", details)

    async def acknowledged(self, jti: str) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: jti in self.acked)

    async def until_cancelled(self, asked: Asked) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: asked.state == "cancelled")

    async def wake(self) -> None:
        """Whoever waits looks again."""
        await self._tell_waiting()

    async def _tell_waiting(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _grant(self, asked: Asked) -> Granted:
        now = self.clock()
        old = self.grants.get(asked.request.extends)
        if old is not None:
            old.state = "released"
        grant = Granted(new_grant_id(now, secrets.token_bytes(10)), asked, now + self.grant_seconds)
        self.grants[grant.id] = grant
        asked.state, asked.grant = "approved", grant.id
        return grant

    # -- the wire ------------------------------------------------------------------------------

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._errors])
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._discovery),
                web.get("/jwks", self._jwks),
                web.post("/bc-authorize", self._bc_authorize),
                web.post("/token", self._token),
                web.post("/revoke", self._revoke),
                web.post("/events", self._events),
                web.get("/catalogue", self._catalogue),
                web.get("/requests/{id}", self._request),
                web.get("/grants", self._grants),
                web.get("/decisions", self._decisions),
                web.get("/decisions/{id}", self._decision),
                web.post("/decisions/{id}", self._decide),
            ]
        )
        return app

    @web.middleware
    async def _errors(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls[request.path if request.path.count("/") == 1 else request.path[:10]] += 1
        try:
            if self.down:
                raise Unavailable("the fake is told to be down")
            answer: web.StreamResponse = await handler(request)
        except BorrowError as exc:
            status = _STATUS.get(exc.state, 403 if isinstance(exc, Refused) else 400)
            answer = web.json_response(to_wire(exc), status=status)
        answer.headers["Date"] = formatdate(self.clock(), usegmt=True)
        return answer

    async def _discovery(self, _: web.Request) -> web.Response:
        keys = [public_jwk(self.m, "sig"), public_jwk(self.m_enc, "enc")]
        return web.json_response({"issuer": self.issuer, "borrow_minter_jwks": {"keys": keys}})

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [public_jwk(self.a, "sig")]})

    async def _form(self, request: web.Request) -> dict[str, str]:
        form = {key: str(value) for key, value in (await request.post()).items()}
        assert self.sig is not None
        verify_assertion(
            form["client_assertion"], PublicKeys([self.sig]), issuer=self.issuer, now=self.clock()
        )
        return form

    async def _bc_authorize(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        assert self.sig is not None
        signed = verify_request(
            form["request"],
            PublicKeys([self.sig]),
            client_id=self.client_id,
            owner=PERSON,
            issuer=self.issuer,
            now=self.clock(),
        )
        wanted = signed.request
        if self.refusal is not None:
            raise self.refusal
        fields = self.needs.get(wanted.role.identifier, {})
        if "reason" in fields and not wanted.role.justification:
            raise Needs("this role needs a reason", fields=fields)
        asked = self._same(wanted)
        joined = asked is not None
        if asked is None:
            now = self.clock()
            request_id = new_request_id(now, secrets.token_bytes(10))
            ends = now + self.pending
            asked = Asked(request_id, wanted, signed.request_hash, ends, jws=signed.jws)
            self.asked[asked.id] = asked
            if self.auto:
                self._grant(asked)
        auth_req_id = secrets.token_urlsafe(20)
        asked.auth_req_ids.add(auth_req_id)
        await self._tell_waiting()
        return web.json_response(
            {
                "auth_req_id": auth_req_id,
                "expires_in": max(1, int(asked.ends - self.clock())),
                "interval": 1,
                "borrow_request": asked.id,
                "borrow_number": asked.request.number,
                "borrow_words": asked.request.words,
                "borrow_mode": self.roles[wanted.role.identifier]["mode"],
                "borrow_asked": ["bea@example.com"],
                "borrow_joined": joined,
                "borrow_state": asked.state,
            }
        )

    def _same(self, wanted: RequestObject) -> Asked | None:
        """The equal request that is open, or whose grant lives (as the minter joins them)."""
        for asked in self.asked.values():
            have = asked.request
            alive = asked.state in ("pending", "approved")
            if asked.grant and self.grants[asked.grant].state != "active":
                alive = False
            if alive and (have.role.arn, have.group, have.extends) == (
                wanted.role.arn,
                wanted.group,
                wanted.extends,
            ):
                return asked
        return None

    async def _token(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if form["grant_type"] == GRANT_CIBA:
            return await self._redeem(form["auth_req_id"])
        if form["grant_type"] == GRANT_EXCHANGE:
            self.calls["exchange"] += 1
            return self._exchange(form["subject_token"], form["resource"])
        return web.json_response(
            {"access_token": "fake-access", "token_type": "Bearer", "expires_in": 300}
        )

    async def _redeem(self, auth_req_id: str) -> web.Response:
        asked = next((a for a in self.asked.values() if auth_req_id in a.auth_req_ids), None)
        if asked is None:
            raise Refused("no such request", state="invalid_grant")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20), self._changed:
                await self._changed.wait_for(
                    lambda: asked.state != "pending" and not self.hold_answers
                )
        if asked.state == "pending":
            raise Unavailable("authorization_pending", state="authorization_pending")
        if asked.state != "approved":
            why = f"{asked.id} was {asked.state}: {asked.reason}"
            raise Refused(why, state=asked.state, request=asked.id)
        grant = self.grants[asked.grant]
        if grant.state != "active":
            raise Refused(f"the grant {grant.id} is {grant.state}", state="grant_exhausted")
        resumed, grant.token = bool(grant.token), secrets.token_urlsafe(24)
        role = asked.request.role.to_claims()
        claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": PERSON,
            "acr": ACR["peer"],
            "urn:openid:params:jwt:claim:auth_req_id": auth_req_id,
            "borrow_request_hash": asked.hash,
            "authorization_details": [role],
        }
        return web.json_response(
            {
                "access_token": grant.token,
                "token_type": "Bearer",
                "expires_in": int(grant.ends - self.clock()),
                "id_token": sign(claims, self.a, "JWT"),
                "grant_id": grant.id,
                "authorization_details": [role],
                "borrow_resumed": resumed,
            }
        )

    def _exchange(self, token: str, role: str) -> web.Response:
        grant = next((g for g in self.grants.values() if g.token == token), None)
        if grant is None or grant.state != "active" or grant.ends <= self.clock():
            raise Refused("the grant is over", state="invalid_grant")
        if self.mint_error is not None:
            raise self.mint_error
        grant.mints += 1
        wanted = grant.asked.request.role
        assert role == wanted.identifier
        end = int(min(self.clock() + self.credential_seconds, grant.ends))
        number = self.calls["exchange"]  # no two grants share a key
        secret = AwsCredentials(f"ASIA{number:016d}", "canary-secret", "canary-token", end)
        assert self.enc is not None
        sealed = seal_credentials(
            SealedFor(GrantId(grant.id), wanted.identifier, wanted.arn, secret),
            signer=self.m,
            to=self.enc,
            issuer=self.issuer,
            client_id=self.client_id,
            now=self.clock(),
        )
        return web.json_response({"access_token": sealed, "token_type": "N_A", "expires_in": 60})

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if form["token_type_hint"] == HINT_AUTH_REQ_ID:
            for asked in self.asked.values():
                if form["token"] in asked.auth_req_ids and asked.state == "pending":
                    asked.state = "cancelled"
        elif form["token"] in self.grants:
            async with self._changed:
                await self._changed.wait_for(lambda: not self.hold_releases)
            self.grants[form["token"]].state = "released"
        await self._tell_waiting()
        return web.json_response({})

    async def _events(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.presence.append(body.get("urn:borrow:presence"))
        for jti in body["ack"]:
            self.acked.append(jti)
            self._sets.pop(jti, None)
        await self._tell_waiting()
        if not body["returnImmediately"] or self.hold_events:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.event_poll), self._changed:
                    await self._changed.wait_for(lambda: self._sets and not self.hold_events)
        if self.hold_events:
            raise Unavailable("the fake holds events back")
        return web.json_response({"sets": dict(self._sets), "moreAvailable": False})

    async def _catalogue(self, _: web.Request) -> web.Response:
        return web.json_response({"roles": list(self.roles.values()), "person": PERSON})

    async def _request(self, request: web.Request) -> web.Response:
        asked = self.asked[request.match_info["id"]]
        return web.json_response({"request": asked.id, "state": asked.state, "seen": []})

    async def _grants(self, _: web.Request) -> web.Response:
        lines = [
            {"grant": g.id, "role": g.asked.request.role.identifier, "state": g.state}
            | {
                "this_device": self.this_device,
                "group": g.asked.request.group,
                "request": g.asked.id,
                "expires_at": int(g.ends),
            }
            for g in self.grants.values()
        ]
        return web.json_response({"grants": lines})

    async def _decisions(self, _: web.Request) -> web.Response:
        return web.json_response({"decisions": [self.summary(a) for a in self.asked.values()]})

    def summary(self, asked: Asked) -> dict[str, Any]:
        role = asked.request.role
        return {
            "request": asked.id,
            "request_hash": asked.hash,
            "person": PERSON,
            "role": role.identifier,
            "arn": role.arn,
            "seconds": role.seconds,
            "state": asked.state,
            "mine": False,
        }

    def statement(self, asked: Asked, **changes: Any) -> bytes:
        now = int(self.clock())
        members: dict[str, Any] = {
            "issuer": self.issuer,
            "request": asked.id,
            "request_hash": asked.hash,
            "decision": "approve",
            "granted": asked.request.role,
            "approver": PERSON,
            "nonce": secrets.token_urlsafe(16),
            "issued_at": now,
            "not_after": now + 300,
        }
        return Statement(**(members | changes)).to_bytes()

    async def _decision(self, request: web.Request) -> web.Response:
        asked = self.asked[request.match_info["id"]]
        out = self.summary(asked) | {"mode": "peer", "signed": asked.jws} | self.told
        if "decision" in request.query:
            number = request.query.get("number", "")
            out["statement"] = b64url(self.statement(asked, **({"number": number} | self.lies)))
        return web.json_response(out)

    async def _decide(self, request: web.Request) -> web.Response:
        subject, body = request.match_info["id"], await request.json()
        self.decided.append({"subject": subject} | body)
        if body["decision"] == "deny":
            await self.deny(self.asked[subject], body.get("reason", ""))
        elif body["decision"] == "approve":
            await self.approve(self.asked[subject])
        return web.json_response({"request": subject, "decision": body["decision"]})


@contextlib.asynccontextmanager
async def running_approver(
    clock: Callable[[], float] = time.time,  # noqa: TID251  an edge
) -> AsyncIterator[FakeApprover]:
    """A fake approver on a free port of the loopback."""
    fake = FakeApprover(clock)
    runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.issuer = f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()
