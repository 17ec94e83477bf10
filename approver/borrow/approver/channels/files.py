"""The two files of push that browsers want at the root, not below `/static/`."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

TYPES: Final = {
    "sw.js": "text/javascript",
    "manifest.webmanifest": "application/manifest+json",
}


def static(name: str) -> web.Response:
    """Asked for on every start of a browser, and small: always the one of this version."""
    data = (files("borrow.approver.pages") / "static" / name).read_bytes()
    headers = {"Cache-Control": "no-cache"}
    return web.Response(body=data, content_type=TYPES[name], charset="utf-8", headers=headers)
