"""What the real browsers of the tests share: a process, and numbered calls over one WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType


class Browser:
    """`async with` opens it in a profile of its own; all of it is gone afterwards."""

    CLOSE: ClassVar[str]  # the call that ends it

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="b-")
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._line: aiohttp.ClientWebSocketResponse | None = None
        self._last = 0

    async def open(self) -> None:
        """Start the program and connect to it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            with contextlib.suppress(Exception):
                await self._call(self.CLOSE)
            await self._line.close()
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def _start(self, *command: str, env: dict[str, str] | None = None) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=env,
        )
        self._session = aiohttp.ClientSession()

    async def _connect(self, address: str) -> None:
        assert self._session is not None
        self._line = await self._session.ws_connect(address, max_msg_size=1 << 24)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one call; AssertionError with what the browser says went wrong."""
        if self._line is None:
            raise RuntimeError("the browser is not open")
        self._last += 1
        number = self._last
        await self._line.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(30):
            while True:
                message = await self._line.receive_json()
                if message.get("id") == number:
                    if "error" in message:
                        raise AssertionError(
                            f"{method}: {message.get('message', message['error'])}"
                        )
                    return dict(message.get("result", {}))
