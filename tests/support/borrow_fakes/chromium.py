"""A real headless Chromium, driven over the DevTools protocol: navigate, evaluate, nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType

INSTALL = "apt-get install --no-install-recommends chromium"
PROGRAM = "/usr/bin/chromium"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-popup-blocking",
    "--remote-debugging-port=0",
)


def missing() -> str | None:
    return None if Path(PROGRAM).exists() else "chromium is not installed"


class Chromium:
    """`async with Chromium(names) as browser:`; `names` maps host names to addresses."""

    def __init__(self, names: dict[str, str]) -> None:
        rules = ",".join(f"MAP {name} {address}" for name, address in names.items())
        self._profile = tempfile.mkdtemp(prefix="b-")
        self._command = [
            PROGRAM,
            *_FLAGS,
            f"--user-data-dir={self._profile}",
            f"--host-resolver-rules={rules}",
            "about:blank",
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._line: aiohttp.ClientWebSocketResponse | None = None
        self._last = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        self._line = await self._session.ws_connect(
            pages[0]["webSocketDebuggerUrl"], max_msg_size=1 << 24
        )
        await self._call("Page.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            with contextlib.suppress(Exception):
                await self._call("Browser.close")
            await self._line.close()
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def _port(self) -> int:
        path = Path(self._profile) / "DevToolsActivePort"
        for _ in range(300):
            if path.exists() and (lines := path.read_text().split()):
                return int(lines[0])
            await asyncio.sleep(0.1)
        raise AssertionError("Chromium did not start within 30 s")

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        if self._line is None:
            raise RuntimeError("the browser is not open")
        self._last += 1
        number = self._last
        await self._line.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(30):
            while True:
                message = await self._line.receive_json()
                if message.get("id") == number:
                    return dict(message.get("result", {}))

    async def go(self, url: str) -> str:
        """Navigate and return what the page shows, as text."""
        await self._call("Page.navigate", url=url)
        await asyncio.sleep(0.5)
        return str(await self.run("document.documentElement.innerText"))

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        done = await self._call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        return done.get("result", {}).get("value")
