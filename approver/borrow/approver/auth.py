"""Who calls: client authentication by signature, and the access tokens given out for it.

A frozen or removed device is still known: it may listen on /events, so that it hears why nothing
else works, and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.approver import tickets
from borrow.approver.bodies import need
from borrow.approver.desk import DESK, Desk
from borrow.approver.skew import both_times
from borrow.protocol.assertion import TYPE_URN, claimed_client, verify_assertion
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.jose import SKEW
from borrow.protocol.keys import PublicKeys

if TYPE_CHECKING:
    from aiohttp import web

    from borrow.minter.port import Device

CLIENT_MEMBERS = frozenset({"client_id", "client_assertion_type", "client_assertion"})
HEARS = "events"  # the one scope that outlives a freeze
_MAX_TOKEN = 256  # characters; ours are 43


@dataclass(frozen=True, slots=True)
class Caller:
    """A device with a valid access token, and what that token is good for."""

    device: Device
    scopes: frozenset[str]

    @property
    def client_id(self) -> str:
        return self.device.client_id

    @property
    def person(self) -> str:
        return self.device.owner


async def authenticate(desk: Desk, form: dict[str, str]) -> Device:
    """The device that signed this call (RFC 7523 §3), frozen ones too.

    1. the assertion is of the one type and names a registered client
    2. a `client_id` beside it names the same client
    3. its signature, audience (this approver, as a string) and times are good
    4. it was never used before (a recorded call is worth nothing)
    """
    now = desk.clock()
    if need(form, "client_assertion_type") != TYPE_URN:
        raise _not_a_client("the client authenticates in another way than private_key_jwt")
    token = need(form, "client_assertion")
    try:
        device = await desk.devices.find(claimed_client(token))
        if device is None or form.get("client_id", device.client_id) != device.client_id:
            raise _not_a_client("no such client is registered here")
        keys = PublicKeys.from_jwks(device.jwks, "sig")
        assertion = verify_assertion(token, keys, issuer=desk.settings.issuer, now=now)
    except Untrusted as exc:
        if exc.state == "clock_skew":
            raise both_times(exc, token, now) from None
        raise _not_a_client(exc.message) from None
    desk.paces.take(device.client_id)
    # Derived from acceptance, so that no assertion outlives the memory of it.
    keep_until = assertion.expires_at + 2 * SKEW
    async with desk.store.writing() as db:
        first = await tickets.use_assertion(
            db, device.client_id, assertion.jti, keep_until=keep_until
        )
    if not first:
        raise _not_a_client("the client assertion was used before")
    return device


def require_active(device: Device) -> None:
    if device.state != "active":
        frozen = device.state == "frozen"
        raise Refused(
            f"this device is {device.state}",
            hint="`borrow unfreeze` says what undoes it" if frozen else "ask for a new invitation",
            state="frozen",
        )


async def bearer(request: web.Request, *scopes: str) -> Caller:
    """The caller, if its token has one of `scopes` (none named: any token will do)."""
    desk = request.app[DESK]
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN:
        raise _not_a_token()
    async with desk.store.reading() as db:
        held = await tickets.access_token(db, token, now=desk.clock())
    device = None if held is None else await desk.devices.find(held.client_id)
    if held is None or device is None:
        raise _not_a_token()
    desk.paces.take(device.client_id)
    if HEARS not in scopes:
        require_active(device)
    if scopes and held.scopes.isdisjoint(scopes):
        raise Refused("the access token is for other things", state="insufficient_scope")
    return Caller(device, held.scopes)


def _not_a_client(message: str) -> Untrusted:
    return Untrusted(message, state="invalid_client")


def _not_a_token() -> Untrusted:
    return Untrusted("the access token is not valid (any more)", state="invalid_token")
