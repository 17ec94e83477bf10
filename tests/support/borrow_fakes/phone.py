"""A phone in somebody's hand: Debian's Chromium, phone-sized, with a virtual authenticator.

Driven by Playwright over the DevTools protocol; the passkeys, their prompts and the counters are
the browser's own.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright, expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, CDPSession, Page

INSTALL = "apt-get install --no-install-recommends chromium fonts-dejavu-core"
PROGRAM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE: Any = {"width": 390, "height": 844}
PATIENCE = 15_000.0  # milliseconds: on a busy machine nothing is late


def missing() -> str | None:
    return None if Path(PROGRAM).exists() else "chromium is not installed"


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=list(FLAGS))
        yield browser
        await browser.close()


@dataclass(slots=True)
class Phone:
    """One browser profile. `authenticator` is the id by which its lies are told."""

    context: BrowserContext
    page: Page
    line: CDPSession
    authenticator: str
    errors: list[str]

    async def join(self, url: str, name: str = "my phone") -> None:
        """Open an invitation and make a passkey."""
        await self.page.goto(url)
        await self.page.get_by_label("Name of this device").fill(name)
        await self.page.get_by_role("button", name="Make a passkey here").click()
        await expect(self.page.locator(".good[data-when=now]")).to_be_visible()

    async def approve(self) -> None:
        await self.page.get_by_role("button", name="Approve with a passkey").click()

    async def deny(self, reason: str = "") -> None:
        if reason:
            await self.page.get_by_label("Why not").fill(reason)
        await self.page.get_by_role("button", name="Deny").click()

    async def sign_out(self) -> None:
        await self.page.get_by_role("button", name="Sign out").click()

    async def told(self) -> str:
        """What the page says went wrong."""
        place = self.page.locator(".told:not(:empty):not(.calm)").first
        await expect(place).to_be_visible()
        return await place.inner_text()

    async def verifies(self, *, user: bool) -> None:
        """Whether the finger is the right one."""
        await self.line.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": self.authenticator, "isUserVerified": user},
        )

    async def credentials(self) -> list[dict[str, Any]]:
        told = await self.line.send(
            "WebAuthn.getCredentials", {"authenticatorId": self.authenticator}
        )
        return list(told["credentials"])

    async def set_counter(self, count: int) -> None:
        """The passkey as it was when it had been used `count` times: a copy."""
        [held] = await self.credentials()
        await self.line.send(
            "WebAuthn.removeCredential",
            {"authenticatorId": self.authenticator, "credentialId": held["credentialId"]},
        )
        await self.line.send(
            "WebAuthn.addCredential",
            {"authenticatorId": self.authenticator, "credential": held | {"signCount": count}},
        )


@contextlib.asynccontextmanager
async def phone(browser: Browser, **how: Any) -> AsyncIterator[Phone]:
    """`how` are options of Playwright's `new_context` (color_scheme, java_script_enabled, …)."""
    options: dict[str, Any] = {"viewport": SIZE, "device_scale_factor": 2, "has_touch": True}
    context = await browser.new_context(**(options | how))
    context.set_default_timeout(PATIENCE)
    try:
        page = await context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        line = await context.new_cdp_session(page)
        await line.send("WebAuthn.enable")
        made = await line.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        yield Phone(context, page, line, str(made["authenticatorId"]), errors)
        assert not errors, errors
    finally:
        await context.close()
