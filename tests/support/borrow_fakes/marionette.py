"""Firefox's virtual authenticator (WebAuthn §11, "User Agent Automation"), over Marionette.

The keys, the prompts and the checks are Firefox's own; only the finger is imagined. One connection,
one call at a time, in the session that WebDriver BiDi has opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

_LONGEST = 1 << 20  # bytes of an answer
_WITHIN = 30.0  # seconds


@dataclass(slots=True)
class Authenticator:
    """Built into the device, keeps passkeys, and has verified its user unless told otherwise."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _id: str = ""
    _last: int = field(default=0)

    @classmethod
    async def plug_in(cls, port: int) -> Authenticator:
        made = cls(*await asyncio.open_connection("127.0.0.1", port))
        async with asyncio.timeout(_WITHIN):
            await made._packet()  # its greeting
        made._id = str(
            await made._call(
                "AddVirtualAuthenticator",
                protocol="ctap2_1",
                transport="internal",
                hasResidentKey=True,
                hasUserVerification=True,
                isUserConsenting=True,
                isUserVerified=True,
            )
        )
        return made

    async def verifies(self, *, user: bool) -> None:
        """Whether the finger is the right one."""
        await self._call("SetUserVerified", authenticatorId=self._id, isUserVerified=user)

    async def credentials(self) -> list[dict[str, Any]]:
        return list(await self._call("GetCredentials", authenticatorId=self._id))

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _call(self, name: str, **parameters: Any) -> Any:
        """AssertionError with what Firefox says went wrong."""
        self._last += 1
        packet = json.dumps([0, self._last, f"WebAuthn:{name}", parameters]).encode()
        self._writer.write(b"%d:%b" % (len(packet), packet))
        async with asyncio.timeout(_WITHIN):
            await self._writer.drain()
            _, number, error, result = await self._packet()
        assert number == self._last, number
        assert error is None, f"{name}: {error}"
        return result["value"]

    async def _packet(self) -> Any:
        """Marionette's framing: the length in decimal, a colon, JSON."""
        size = int((await self._reader.readuntil(b":"))[:-1])
        assert size < _LONGEST, size
        return json.loads(await self._reader.readexactly(size))
