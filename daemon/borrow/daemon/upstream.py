"""What the daemon asks of the approver, call by call (PROTOCOL "Endpoints of the approver").

Answers become small frozen values here, and every one is checked: what was granted must be what
was asked, and credentials must be signed by the pinned minter for this device. What it raises is
a BorrowError; retrying is its caller's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import Refused, Unavailable, Untrusted
from borrow.protocol.ids import kind_of
from borrow.protocol.oauth import (
    ACR,
    GRANT_CIBA,
    GRANT_EXCHANGE,
    HINT_AUTH_REQ_ID,
    LONG_POLL,
    POLL_AGAIN,
    TOKEN_ACCESS,
    TOKEN_CREDENTIALS,
)
from borrow.protocol.strict import Members

# aiohttp and cryptography are imported inside the methods: the daemon holds an Upstream from its
# start, and must be listening before their 200 ms.

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.transport import Transport
    from borrow.protocol.credentials import AwsCredentials
    from borrow.protocol.events import SecurityEvent
    from borrow.protocol.request import AwsRole, RequestObject

PRESENCE: Final = "urn:borrow:presence"
HINT_GRANT: Final = "urn:borrow:grant_id"
_MODES: Final = {acr: mode for mode, acr in ACR.items()}
_POLL: Final = LONG_POLL + 10.0  # seconds: a long poll with what the network adds


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The approver has the request. `expires_in` in seconds, from when the call was sent."""

    auth_req_id: str = field(repr=False)
    request: str
    number: str
    words: str
    mode: str
    asked: tuple[str, ...]
    joined: bool
    state: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A grant. `expires_at` is its end in unix seconds, counted from when the call was sent."""

    token: str = field(repr=False)
    grant_id: str
    role: AwsRole
    mode: str
    expires_at: float
    resumed: bool


class Upstream:
    """The approver as the broker sees it. `connect` makes the transport at the first call."""

    def __init__(self, connect: Callable[[], Transport]) -> None:
        self._connect = connect
        self._transport: Transport | None = None

    @property
    def transport(self) -> Transport:
        if self._transport is None:
            self._transport = self._connect()
        return self._transport

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close()

    # -- borrowing -----------------------------------------------------------------------------

    async def catalogue(self) -> list[dict[str, Any]]:
        answer = await self.transport.get("/catalogue", "catalogue")
        roles = Members(answer, "catalogue").array("roles", limit=4096)
        return [entry for entry in roles if isinstance(entry, dict)]

    async def ask(self, request: RequestObject) -> Acknowledged:
        """Sign and send; raises Needs, Refused, Unavailable, …"""
        from borrow.protocol.request import sign_request

        signed = sign_request(request, self.transport.device().sig)
        raw = await self.transport.form("/bc-authorize", {"request": signed})
        answer = Members(raw, "answer")
        return Acknowledged(
            auth_req_id=answer.text("auth_req_id"),
            request=_request_id(answer.text("borrow_request", limit=64)),
            number=_digits(answer.text_or("borrow_number", limit=8)),
            words=_pair(answer.text_or("borrow_words", limit=64)),
            mode=answer.text_or("borrow_mode", limit=32),
            asked=_people(answer.array("borrow_asked") if answer.has("borrow_asked") else []),
            joined=raw.get("borrow_joined") is True,
            state=answer.text_or("borrow_state", "pending", limit=32),
            expires_in=answer.whole("expires_in"),
        )

    async def redeem(self, auth_req_id: str, wanted: AwsRole) -> Redeemed | None:
        """One long poll; None if nobody has decided yet."""
        sent_at = self.transport.clock()
        fields = {"grant_type": GRANT_CIBA, "auth_req_id": auth_req_id}
        try:
            raw = await self.transport.form("/token", fields, within=_POLL)
        except Unavailable as exc:
            if exc.state in POLL_AGAIN or exc.message in POLL_AGAIN:
                return None
            raise
        answer = Members(raw, "token answer")
        granted = _granted(answer.array("authorization_details", limit=1))
        if (granted.identifier, granted.arn) != (wanted.identifier, wanted.arn):
            raise Untrusted("the approver granted another role than was asked")
        grant_id = answer.text("grant_id", limit=64)
        if kind_of(grant_id) != "g":
            raise Untrusted("the approver named no grant")
        return Redeemed(
            token=answer.text("access_token"),
            grant_id=grant_id,
            role=granted,
            mode=await self._mode_of(answer.text_or("id_token", limit=16_384), auth_req_id),
            expires_at=sent_at + answer.whole("expires_in"),
            resumed=raw.get("borrow_resumed") is True,
        )

    async def _mode_of(self, id_token: str, auth_req_id: str) -> str:
        """How it was granted, from the ID token, after checking that it speaks of this request."""
        from borrow.protocol.jose import verify

        trust = await self.transport.trust()
        claims = verify(id_token, trust.approver, "JWT").claims
        config = self.transport.config
        said = (claims.get("iss"), claims.get("aud"))
        if said != (config.issuer, config.client_id):
            raise Untrusted("the ID token is for another device")
        if claims.get("urn:openid:params:jwt:claim:auth_req_id") != auth_req_id:
            raise Untrusted("the ID token speaks of another request")
        return _MODES.get(str(claims.get("acr", "")), "")

    async def exchange(self, token: str, grant_id: str, role: AwsRole) -> AwsCredentials:
        """Have credentials minted; open and check the envelope."""
        from borrow.protocol.credentials import open_credentials

        fields = {
            "grant_type": GRANT_EXCHANGE,
            "subject_token": token,
            "subject_token_type": TOKEN_ACCESS,
            "requested_token_type": TOKEN_CREDENTIALS,
            "resource": role.identifier,
        }
        answer = Members(await self.transport.form("/token", fields), "token answer")
        sealed = answer.text("access_token", limit=65_536)
        trust = await self.transport.trust()
        opened = open_credentials(
            sealed,
            key=self.transport.device().enc,
            minter=trust.minter,
            issuer=self.transport.config.issuer,
            client_id=self.transport.config.client_id,
            now=self.transport.clock(),
        )
        if (opened.grant_id, opened.role, opened.arn) != (grant_id, role.identifier, role.arn):
            raise Untrusted("the sealed credentials are of another grant")
        return opened.credentials

    async def request_status(self, request_id: str) -> dict[str, Any]:
        return await self.transport.get(f"/requests/{_request_id(request_id)}", "catalogue")

    async def cancel(self, auth_req_id: str) -> None:
        await self.transport.form(
            "/revoke", {"token": auth_req_id, "token_type_hint": HINT_AUTH_REQ_ID}
        )

    async def release(self, grant_id: str) -> None:
        await self.transport.form("/revoke", {"token": grant_id, "token_type_hint": HINT_GRANT})

    async def grants(self) -> list[dict[str, Any]]:
        answer = Members(await self.transport.get("/grants", "manage"), "answer")
        return [each for each in answer.array("grants", limit=1024) if isinstance(each, dict)]

    # -- events --------------------------------------------------------------------------------

    async def events(
        self, ack: list[str], *, at_once: bool, presence: str = ""
    ) -> tuple[list[SecurityEvent], list[str]]:
        """One poll: the verified events, and the jtis of those that are not to be believed."""
        from borrow.protocol.events import verify_event

        trust = await self.transport.trust()
        body: dict[str, Any] = {"ack": ack, "returnImmediately": at_once, "maxEvents": 64}
        body |= {PRESENCE: presence} if presence else {}
        answer = Members(
            await self.transport.post("/events", "events", body, within=_POLL), "events answer"
        )
        good, bad = [], []
        config = self.transport.config
        for jti, token in answer.object("sets").items():
            try:
                if not isinstance(token, str):
                    raise Untrusted("an event is no token")
                event = verify_event(
                    token,
                    trust.approver,
                    issuer=config.issuer,
                    audience=config.client_id,
                    now=self.transport.clock(),
                )
                if event.jti != jti:
                    raise Untrusted("an event came under another name")
                good.append(event)
            except Untrusted:
                bad.append(jti)
        return good, bad

    # -- answering, own things -----------------------------------------------------------------

    async def decisions(self) -> list[dict[str, Any]]:
        answer = Members(await self.transport.get("/decisions", "decide"), "answer")
        return [each for each in answer.array("decisions", limit=1024) if isinstance(each, dict)]

    async def decision(self, subject: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        return await self.transport.get(f"/decisions/{_subject(subject)}", "decide", query)

    async def decide(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self.transport.post(f"/decisions/{_subject(subject)}", "decide", body)

    async def totp_begin(self, sealed_code: str) -> dict[str, Any]:
        body = {"sealed_code": sealed_code} if sealed_code else {}
        return await self.transport.post("/totp", "manage", body)

    async def totp_confirm(self, enrolment: str, code: str) -> dict[str, Any]:
        if not enrolment.replace("-", "").replace("_", "").isalnum() or len(enrolment) > 64:
            raise Untrusted("that is no enrolment")
        return await self.transport.post(f"/totp/{enrolment}", "manage", {"code": code})

    async def log_entries(self, start: int, count: int) -> dict[str, Any]:
        query = {"start": str(start), "count": str(count)}
        return await self.transport.get("/log/entries", "audit", query)

    async def log_check(self) -> dict[str, Any]:
        return await self.transport.get("/log/check", "audit")

    async def log_head(self) -> dict[str, Any]:
        return await self.transport.get("/log/sth", "audit")


def _granted(details: list[Any]) -> AwsRole:
    from borrow.protocol.request import read_role

    if len(details) != 1 or not isinstance(details[0], dict):
        raise Untrusted("the approver did not say what was granted")
    return read_role(details[0])


def _people(entries: list[Any]) -> tuple[str, ...]:
    return tuple(each[:255] for each in entries if isinstance(each, str))


def _digits(text: str) -> str:
    if text and not re.fullmatch(r"\d{3}", text, re.ASCII):
        raise Untrusted("the approver's number is not three digits")
    return text


def _pair(text: str) -> str:
    """Two words or nothing: a person reads them aloud, so they carry no other text."""
    if text and not re.fullmatch(r"[a-z]{2,12}-[a-z]{2,12}", text, re.ASCII):
        raise Untrusted("the approver's words are not two words")
    return text


def _request_id(text: str) -> str:
    if kind_of(text) != "r":
        raise Untrusted("not the id of a request", hint="ids of requests look like r-…")
    return text


def _subject(text: str) -> str:
    """An id that may stand in a path; typed by a person, so it is refused, not distrusted."""
    try:
        kind_of(text)
    except Untrusted as exc:
        raise Refused(str(exc), hint=exc.hint, state="not_found") from None
    return text
