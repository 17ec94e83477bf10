"""The base keys in a running solo process: where they are, and what only a running process keeps.

A passphrase that was typed and a base session that was opened with an MFA code live in memory, so
`borrow keys unlock` and `borrow keys mfa` bring them here, over a socket in the private runtime
folder that only this user may use.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Final

from aiohttp import web

from borrow.daemon.peer import unix_peer
from borrow.minter.basekeys import NO_KEYRING, NO_KEYS, KeyringSource, MfaBase, SealedFileSource
from borrow.minter.sealedfile import passphrase_from_service
from borrow.protocol.errors import BorrowError, Misconfigured, Refused
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from borrow.minter.basekeys import BaseKeys, KeySource

SEALED: Final = "base-keys.sealed"
SOCKET: Final = "keys.sock"
MAX_BODY: Final = 8_192  # bytes


class Stored:
    """The sealed file if there is one, else the desktop keyring. A KeySource."""

    def __init__(
        self, sealed: Path, environ: Mapping[str, str], *, keyring: KeySource | None = None
    ) -> None:
        self._path = sealed
        self._environ = environ
        self._lock = threading.Lock()
        self._phrase = b""
        self._file = SealedFileSource(sealed, self._passphrase)
        self._keyring = keyring or KeyringSource()

    def load(self) -> BaseKeys:
        if self._path.exists():
            return self._file.load()
        try:
            return self._keyring.load()
        except Misconfigured as exc:
            raise none_sealed(exc) from None

    def unlock(self, phrase: bytes) -> None:
        """Keep `phrase` if it opens the file; raises what `load` raises if it does not.

        Tried on a source of its own: the one in use keeps the derived key and asks no more.
        """
        SealedFileSource(self._path, lambda: phrase).load()
        with self._lock:
            self._phrase = phrase

    def _passphrase(self) -> bytes:
        with self._lock:
            if self._phrase:
                return self._phrase
        if service := passphrase_from_service(self._environ):
            return service()
        raise Misconfigured(
            "the base keys are sealed, and this process was not given the passphrase",
            hint="borrow keys unlock",
            state="passphrase_needed",
        )


def none_sealed(exc: Misconfigured) -> Misconfigured:
    """What the keyring's `exc` means where no sealed file is.

    A keyring that is locked or silent may well hold the keys, so its own words stay.
    """
    if exc.state == NO_KEYS:
        return Misconfigured("there are no base keys", hint="borrow keys add", state=NO_KEYS)
    if exc.state == NO_KEYRING:
        told = f"no base keys are sealed here, and {exc.message}"
        return Misconfigured(told, hint=exc.hint, state=NO_KEYRING)
    return exc


def build_keys_app(stored: Stored, base: MfaBase, *more: web.RouteDef) -> web.Application:
    """`POST /unlock {passphrase}`, `POST /mfa {code}`, `GET /status`, and `more`."""

    async def unlock(request: web.Request) -> web.Response:
        phrase = await _text(request, "passphrase")
        await asyncio.to_thread(stored.unlock, phrase.encode())
        return web.json_response({"unlocked": True})

    async def mfa(request: web.Request) -> web.Response:
        code = await _text(request, "code")
        ends_at = await asyncio.to_thread(base.open, code)
        return web.json_response({"expires_at": ends_at})

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"session_ends_at": base.ends_at()})

    app = web.Application(middlewares=[_ours_alone, _told], client_max_size=MAX_BODY)
    app.add_routes([web.post("/unlock", unlock), web.post("/mfa", mfa), web.get("/status", status)])
    app.add_routes(more)
    return app


async def _text(request: web.Request, name: str) -> str:
    members = Members(parse_object(await request.read(), "body"), "body")
    text = members.text(name, limit=1_024)
    members.end()
    return text


@web.middleware
async def _ours_alone(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    connected = request.transport.get_extra_info("socket") if request.transport else None
    peer = unix_peer(connected) if connected is not None else None
    if peer is None or peer.uid != os.getuid():
        raise web.HTTPForbidden
    return await handler(request)


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BorrowError as exc:
        body = {"state": exc.state, "message": exc.message, "hint": exc.hint}
        status = 403 if isinstance(exc, Refused) else 409
        return web.json_response({"error": body}, status=status)


def base_keys_of(
    folder: Path,
    environ: Mapping[str, str],
    *,
    endpoint_url: str | None,
    region: str,
    clock: Callable[[], float],
) -> tuple[Stored, MfaBase]:
    stored = Stored(folder / SEALED, environ)
    source: KeySource = stored
    return stored, MfaBase(source, endpoint_url=endpoint_url, region=region, clock=clock)
