"""HTTP to the approver: client authentication, access tokens, pinned keys, and foreign errors.

Every failure leaves here as one of our errors: nobody above needs to know aiohttp. The calls
themselves are in `upstream`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from borrow.protocol.assertion import TYPE_URN, make_assertion
from borrow.protocol.errors import Misconfigured, Refused, Unavailable, Untrusted
from borrow.protocol.keys import PublicKeys, pinned_pair
from borrow.protocol.oauth import (
    GRANT_CLIENT_CREDENTIALS,
    PROFILE_VERSION,
    from_wire,
)
from borrow.protocol.strict import Members, b64url, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.device import DeviceKeys

# Seconds. An ordinary call, and the connect before it.
CALL: Final = 20.0
CONNECT: Final = 5.0

CONNECTIONS: Final = 256  # each open question holds one
MAX_ANSWER: Final = 4 << 20  # bytes; the log's pages are the largest
MAX_SKEW: Final = 60.0  # seconds two clocks may differ before we refuse to sign
_EARLY: Final = 30.0  # seconds before its end an access token is replaced


@dataclass(frozen=True, slots=True)
class Trust:
    """The approver's and the minter's keys, as pinned at enrolment."""

    approver: PublicKeys
    minter: PublicKeys
    minter_enc: PublicKeys


class Transport:
    """One approver. Nothing is opened before the first call; `close` ends it."""

    def __init__(
        self,
        config: DaemonConfig,
        device: Callable[[], DeviceKeys],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.config = config
        self.device = device
        self.clock = clock
        self.entropy = entropy
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._tokens: dict[str, tuple[str, float]] = {}
        self._trust: Trust | None = None

    async def close(self) -> None:
        """For good: a task that asks once more while the daemon stops gets one of our errors."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- calls ---------------------------------------------------------------------------------

    async def form(
        self, path: str, fields: Mapping[str, str], *, within: float = CALL
    ) -> dict[str, Any]:
        """POST a form with client authentication (private_key_jwt)."""
        self.config.require_enrolled()
        sent = {
            **fields,
            "client_id": self.config.client_id,
            "client_assertion_type": TYPE_URN,
            "client_assertion": self._assertion(),
        }
        return await self._send("POST", path, within=within, data=sent)

    async def get(
        self, path: str, scope: str, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return await self._authorized("GET", path, scope, params=dict(query or {}))

    async def post(
        self, path: str, scope: str, body: Mapping[str, Any], *, within: float = CALL
    ) -> dict[str, Any]:
        return await self._authorized("POST", path, scope, within=within, json=dict(body))

    async def plain(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Without authentication: discovery, keys, enrolment."""
        return await self._send(method, path, within=CALL, **content)

    async def trust(self) -> Trust:
        """The keys that are pinned, fetched once; Untrusted if the approver shows others."""
        if self._trust is None:
            self.config.require_enrolled()
            found = await self.plain("GET", "/.well-known/openid-configuration")
            jwks = await self.plain("GET", "/jwks")
            self._trust = pinned_keys(self.config, found, jwks)
        return self._trust

    # -- inside --------------------------------------------------------------------------------

    def _assertion(self) -> str:
        return make_assertion(
            self.config.client_id,
            self.config.issuer,
            self.device().sig,
            now=self.clock(),
            jti=b64url(self.entropy(18)),
        )

    async def _authorized(
        self, method: str, path: str, scope: str, *, within: float = CALL, **content: Any
    ) -> dict[str, Any]:
        for last in (False, True):
            headers = {"Authorization": f"Bearer {await self._token(scope)}"}
            try:
                return await self._send(method, path, within=within, headers=headers, **content)
            except (Untrusted, Refused) as exc:
                # The approver may have forgotten our token with its restart: a new one, once.
                if last or exc.state not in ("invalid_token", "invalid_client"):
                    raise
                self._tokens.pop(scope, None)
        raise RuntimeError("unreachable")

    async def _token(self, scope: str) -> str:
        token, until = self._tokens.get(scope, ("", 0.0))
        if until - _EARLY > self.clock():
            return token
        sent_at = self.clock()
        answer = await self.form("/token", {"grant_type": GRANT_CLIENT_CREDENTIALS, "scope": scope})
        members = Members(answer, "token answer")
        token = members.text("access_token")
        self._tokens[scope] = (token, sent_at + members.whole("expires_in"))
        return token

    async def _send(
        self, method: str, path: str, *, within: float, **content: Any
    ) -> dict[str, Any]:
        url = self.config.issuer + path
        try:
            async with asyncio.timeout(within):
                async with self._open().request(
                    method, url, allow_redirects=False, **content
                ) as answer:
                    self._compare_clocks(answer.headers.get("Date", ""))
                    body = await _read_body(answer)
                    return _judge(answer.status, answer.headers, body)
        except TimeoutError as exc:
            raise Unavailable("the approver does not answer", hint=_WHERE) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Unavailable("the approver cannot be reached", hint=_WHERE) from exc

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable("the daemon is stopping")
        if self._session is None:
            path = self.config.approver_socket
            connector = (
                aiohttp.UnixConnector(path, limit=CONNECTIONS)
                if path
                else aiohttp.TCPConnector(limit=CONNECTIONS)
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
                # Cookies have no meaning here, and a proxy on the way is the system's choice.
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=not path,
                headers={"User-Agent": f"borrow-daemon/{PROFILE_VERSION}"},
            )
        return self._session

    def _compare_clocks(self, date: str) -> None:
        theirs = None
        with contextlib.suppress(ValueError, TypeError, OverflowError):  # a year of many digits
            theirs = parsedate_to_datetime(date)
        if theirs is None or theirs.tzinfo is None:
            return
        ours = self.clock()
        if abs(theirs.timestamp() - ours) > MAX_SKEW:
            raise Misconfigured(
                f"the clocks differ: {int(ours)} here, {int(theirs.timestamp())} at the approver",
                hint="set the time of this machine (unix seconds are shown)",
                state="clock_skew",
            )


_WHERE: Final = "`borrow doctor` checks the way to it"


def pinned_keys(config: DaemonConfig, discovery: dict[str, Any], jwks: dict[str, Any]) -> Trust:
    """The keys that match the pins. A server that shows others is not the one we enrolled with."""
    if discovery.get("issuer") != config.issuer:
        raise Untrusted("the approver names another issuer", hint="`borrow join URL` again")
    minter = discovery.get("borrow_minter_jwks")
    if not isinstance(minter, dict):
        raise Untrusted("the approver shows no minter keys")
    try:
        signing, sealing = pinned_pair(minter, config.minter_pin)
        return Trust(
            approver=PublicKeys.from_jwks(jwks, "sig").only([config.approver_pin]),
            minter=signing,
            minter_enc=sealing,
        )
    except Untrusted as exc:
        raise Untrusted(
            "the approver's keys are not the ones pinned when this machine joined",
            hint="someone may be in between; if the server was rebuilt, join again",
            state="wrong_keys",
        ) from exc


async def _read_body(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(MAX_ANSWER + 1)
    while not answer.content.at_eof() and len(body) <= MAX_ANSWER:
        body += await answer.content.read(MAX_ANSWER + 1 - len(body))
    if len(body) > MAX_ANSWER:
        raise Untrusted("the approver's answer is too large")
    return body


def _judge(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The answer's members, or the error it means."""
    if status == 429 or status >= 500:
        error = _error_in(body)
        if status == 429 and isinstance(error, Refused):
            # Too many questions were asked in vain: asking on is what it is there to stop.
            raise error
        wait = headers.get("Retry-After", "")
        raise Unavailable(
            error.message if error else f"the approver answers with status {status}",
            hint=error.hint if error else "",
            state=error.state if error else "unavailable",
            retry_after=min(float(wait), 60.0) if wait.isdecimal() else 1.0,
        )
    if status not in (200, 201):
        raise _error_in(body) or Unavailable(f"the approver answers with status {status}")
    return parse_object(body or b"{}", "answer", limit=MAX_ANSWER)


def _error_in(body: bytes) -> Any:
    try:
        entry = parse_object(body, "answer", limit=MAX_ANSWER)
    except Untrusted:
        return None
    return from_wire(entry) if "error" in entry else None
