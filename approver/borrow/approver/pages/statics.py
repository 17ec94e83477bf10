"""The files beside the pages: read once, served under an address that holds their hash."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES: Final[Mapping[str, str]] = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
}


class Statics:
    """Only files that are there when it is made: nothing of a path reaches a file system later."""

    def __init__(self) -> None:
        folder = files("borrow.approver.pages") / "static"
        self._files = {
            each.name: each.read_bytes()
            for each in folder.iterdir()
            if each.name.rpartition(".")[2] in TYPES
        }
        self._tags = {
            name: hashlib.sha256(data).hexdigest()[:16] for name, data in self._files.items()
        }

    def has(self, name: str) -> bool:
        return name in self._files

    def address(self, name: str) -> str:
        return f"/static/{name}?v={self._tags[name]}"

    def answer(self, name: str, version: str, wanted: str) -> web.Response | None:
        """None: there is no such file. `wanted` is If-None-Match."""
        data = self._files.get(name)
        if data is None:
            return None
        tag = f'"{self._tags[name]}"'
        # A module that another one imports has no hash in its address: that one is asked about.
        fixed = version == self._tags[name]
        kept = {
            "Cache-Control": "public, max-age=31536000, immutable" if fixed else "no-cache",
            "ETag": tag,
        }
        if wanted == tag:
            return web.Response(status=304, headers=kept)
        kind = TYPES[name.rpartition(".")[2]]
        charset = None if kind == "image/png" else "utf-8"
        return web.Response(body=data, content_type=kind, charset=charset, headers=kept)
