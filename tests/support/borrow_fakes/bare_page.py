"""The least page that push needs: the files beside the pages, and a place for `push.js`."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from borrow_fakes.visitors import push_routes

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HTML = """\
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>test</title>
<link rel="manifest" href="/manifest.webmanifest">
<script type="module" src="/static/push.js"></script></head>
<body><div id="push"></div></body></html>
"""
TYPES = {"js": "text/javascript", "png": "image/png"}


def page_routes() -> list[web.RouteDef]:
    return [
        *push_routes(),
        web.get("/", _page),
        web.get("/r/{id}", _page),
        web.get("/mine", _page),
        web.get("/static/{name}", _file),
    ]


async def _page(_: web.Request) -> web.Response:
    return web.Response(
        text=HTML, content_type="text/html", headers={"Content-Security-Policy": CSP}
    )


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    data = (files("borrow.approver.pages") / "static" / name).read_bytes()
    return web.Response(body=data, content_type=TYPES[name.rpartition(".")[2]])
