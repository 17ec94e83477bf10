"""A real headless Firefox, driven over WebDriver BiDi: navigate, evaluate, press, type.

Its passkeys are its own: `passkeys()` gives it a virtual authenticator, which BiDi does not have
but Marionette, the older door of the same program, does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borrow_fakes.browser import Browser
from borrow_fakes.marionette import Authenticator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

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
    "marionette.port": 0,
    "extensions.systemAddon.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disableIPv6": True,
    "network.trr.mode": 5,
    "security.webauth.webauthn_enable_softtoken": True,
    "security.webauth.webauthn_enable_usbtoken": False,
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
        self._authenticator: Authenticator | None = None

    @override
    async def open(self) -> None:
        program = _program()
        assert program is not None
        await self._start(
            *(program, "--headless", "--no-remote", "--profile", self._profile),
            *("--remote-debugging-port=0", "--marionette", "about:blank"),
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
        told = await self._told("WebDriverBiDiServer.json")
        return int(told["ws_port"])

    async def _told(self, name: str) -> Any:
        """What Firefox writes into this file of its profile once a door is open."""
        path = Path(self._profile) / name
        for _ in range(600):
            with contextlib.suppress(ValueError, OSError):
                return json.loads(path.read_text())
            await asyncio.sleep(0.1)
        raise AssertionError("Firefox did not start within 60 s")

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if self._authenticator is not None:  # the session would end with it, and not Firefox
            await self._authenticator.close()

    async def passkeys(self) -> Authenticator:
        """Give it somewhere to keep passkeys, and a finger that is the right one.

        Passkeys are for the page that has the focus; in the first tab of a new window the address
        bar has it, so this opens another tab.
        """
        port = await self._told("MarionetteActivePort")
        self._authenticator = await Authenticator.plug_in(port)
        self._context = (await self._call("browsingContext.create", type="tab"))["context"]
        return self._authenticator

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

    async def until(self, true: str, seconds: float = 30.0) -> None:
        """Wait for this expression to be true in the page, also over navigations."""
        last: Any = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while last is not True:
                    with contextlib.suppress(AssertionError):  # between two pages
                        last = await self.run(true)
                    await asyncio.sleep(0.05)
        if last is not True:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"never true: {true}\n{last}\n{text}")

    async def press(self, label: str) -> None:
        """A click of the mouse on the visible button that says so, once there is one."""
        buttons = (
            "[...document.querySelectorAll('button')].filter("
            f"b => b.innerText === {json.dumps(label)} && b.checkVisibility() && !b.disabled)"
        )
        await self.until(f"{buttons}.length === 1")
        await self._click(f"{buttons}[0]")

    async def type(self, selector: str, text: str) -> None:
        """Click into a field and type, key by key."""
        await self.until(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        await self._click(f"document.querySelector({json.dumps(selector)})")
        keys = [{"type": kind, "value": char} for char in text for kind in ("keyDown", "keyUp")]
        await self._act({"type": "key", "id": "keyboard", "actions": keys})

    async def _click(self, element: str) -> None:
        done = await self._call(
            "script.evaluate",
            expression=f"(e => (e.scrollIntoView({{block: 'center'}}), e))({element})",
            target={"context": self._context},
            awaitPromise=False,
        )
        node = {"type": "element", "element": {"sharedId": done["result"]["sharedId"]}}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": node}
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        await self._act({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    async def _act(self, *sources: dict[str, Any]) -> None:
        await self._call("input.performActions", context=self._context, actions=list(sources))

    async def turn_to(self, url: str, seconds: float = 30.0) -> None:
        """The tab that shows this address, once there is one."""
        open_ones: dict[str, str] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while url not in open_ones:
                    tree = await self._call("browsingContext.getTree")
                    open_ones = {each["url"]: each["context"] for each in tree["contexts"]}
                    await asyncio.sleep(0.05)
        assert url in open_ones, f"{url} is not among {list(open_ones)}"
        self._context = open_ones[url]

    async def addresses(self) -> list[str]:
        """Of all pages that are open."""
        tree = await self._call("browsingContext.getTree")
        return [each["url"] for each in tree["contexts"]]
