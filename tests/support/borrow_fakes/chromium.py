"""A real headless Chromium, driven over the DevTools protocol: navigate, evaluate, nothing more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borrow_fakes.browser import Browser

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


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


class Chromium(Browser):
    """`async with Chromium(names) as browser:`; `names` maps host names to addresses."""

    CLOSE = "Browser.close"

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        rules = ",".join(f"MAP {name} {address}" for name, address in names.items())
        self._rules = f"--host-resolver-rules={rules}"

    @override
    async def open(self) -> None:
        profile = f"--user-data-dir={self._profile}"
        await self._start(PROGRAM, *_FLAGS, profile, self._rules, "about:blank")
        assert self._session is not None
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        await self._connect(pages[0]["webSocketDebuggerUrl"])
        await self._call("Page.enable")

    async def _port(self) -> int:
        path = Path(self._profile) / "DevToolsActivePort"
        for _ in range(300):
            if path.exists() and (lines := path.read_text().split()):
                return int(lines[0])
            await asyncio.sleep(0.1)
        raise AssertionError("Chromium did not start within 30 s")

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
