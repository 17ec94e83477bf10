"""A real headless Firefox, driven over WebDriver BiDi: navigate, evaluate, nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borrow_fakes.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


INSTALL = "apt-get install --no-install-recommends firefox-esr"
_PROGRAMS = ("firefox-esr", "firefox")

# Nothing is asked of anybody outside, and nothing is turned into https.
_PREFERENCES: dict[str, object] = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "devtools.jsonview.enabled": False,  # a JSON page stays a page of its own origin
    "dom.security.https_first": False,
    "extensions.systemAddon.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disableIPv6": True,
    "network.trr.mode": 5,
    "services.settings.server": "http://127.0.0.1:1/",
    "toolkit.telemetry.enabled": False,
}


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def missing() -> str | None:
    return None if _program() else "firefox is not installed"


def push_preferences(service: str) -> dict[str, object]:
    """Real Web Push from the service at `service` (ws://…), shown by the desktop's own bubbles."""
    return {
        "dom.push.serverURL": service,
        "dom.push.testing.allowInsecureServerURL": True,
        "dom.push.connection.enabled": True,
        "permissions.default.desktop-notification": 1,
        "alerts.useSystemBackend": True,
    }


class Firefox(Browser):
    """`async with Firefox(names) as browser:`; the host `names` are the loopback."""

    CLOSE = "browser.close"

    def __init__(
        self,
        *names: str,
        preferences: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        chosen = (
            _PREFERENCES | {"network.dns.localDomains": ",".join(names)} | dict(preferences or {})
        )
        self._environment = dict(environment or {})
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in chosen.items())
        Path(self._profile, "user.js").write_text("".join(lines))
        self._context = ""

    @override
    async def open(self) -> None:
        program = _program()
        assert program is not None
        await self._start(
            *(program, "--headless", "--no-remote", "--profile", self._profile),
            *("--remote-debugging-port=0", "about:blank"),
            env={
                "PATH": os.environ["PATH"],
                "HOME": self._profile,
                "MOZ_CRASHREPORTER_DISABLE": "1",
                **self._environment,
            },
        )
        await self._connect(f"ws://127.0.0.1:{await self._port()}/session")
        await self._call("session.new", capabilities={})
        tree = await self._call("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]

    async def _port(self) -> int:
        path = Path(self._profile) / "WebDriverBiDiServer.json"
        for _ in range(600):
            with contextlib.suppress(ValueError, OSError):
                return int(json.loads(path.read_text())["ws_port"])
            await asyncio.sleep(0.1)
        raise AssertionError("Firefox did not start within 60 s")

    async def go(self, url: str) -> str:
        """Navigate and return what the page shows, as text, be it that it failed to load."""
        with contextlib.suppress(AssertionError):
            await self._call(
                "browsingContext.navigate", context=self._context, url=url, wait="complete"
            )
        return str(await self.run("document.documentElement.innerText"))

    async def run(self, script: str) -> Any:
        """The value of an expression in the page (a plain one); a promise is awaited."""
        done = await self._call(
            "script.evaluate",
            expression=script,
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if done["type"] != "success":
            return f"failed: {done['exceptionDetails']['text']}"
        return done["result"].get("value")

    async def addresses(self) -> list[str]:
        """Of all pages that are open."""
        tree = await self._call("browsingContext.getTree")
        return [each["url"] for each in tree["contexts"]]
