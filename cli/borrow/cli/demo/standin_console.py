"""The stand-in's sign-in service and console: `/federation` and `/console/…`.

As AWS has them, as far as a test can see: a token is made by POST for a session that the stand-in
handed out, signs a browser in once, within fifteen minutes, and sends it on to the destination.
"""

from __future__ import annotations

import json
import secrets
import threading
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from borrow.cli.demo.standin_answers import Answer

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from borrow.cli.demo.standin_sessions import Session, Sessions

FEDERATION = "/federation"
CONSOLE = "/console/"
_TOKEN_LIVES = 900.0  # seconds
_MAX_FORM = 64 * 1024  # bytes
_COOKIE = "standin-console"


class ConsolePages:
    """Who is signed in, by token and then by cookie. For many server threads."""

    def __init__(self, sessions: Sessions, hosts: frozenset[str]) -> None:
        self._sessions = sessions
        self._hosts = hosts
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Session, float]] = {}
        self._signed_in: dict[str, Session] = {}

    def serves(self, path: str) -> bool:
        return path == FEDERATION or path.startswith(CONSOLE)

    def answer(self, environ: WSGIEnvironment, now: float) -> Answer:
        if environ.get("HTTP_HOST") not in self._hosts:
            return _text(403, "this host name is not the stand-in's")
        if not str(environ.get("PATH_INFO", "")).startswith(FEDERATION):
            return self._page(environ, now)
        query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
        if environ["REQUEST_METHOD"] == "POST":
            return self._token(environ, query, now)
        return self._login(query, now)

    def _token(self, environ: WSGIEnvironment, query: dict[str, str], now: float) -> Answer:
        """A secret in an address would be in every log on the way: only the body is read."""
        if query:
            return _text(400, "the form belongs into the body")
        length = str(environ.get("CONTENT_LENGTH") or "0")
        if not length.isdecimal() or int(length) > _MAX_FORM:
            return _text(400, "the form is too long")
        form = dict(parse_qsl(environ["wsgi.input"].read(int(length)).decode("utf-8", "replace")))
        session = self._session(form.get("Session", ""))
        if form.get("Action") != "getSigninToken" or session is None or now >= session.end:
            return _text(400, "the session is not valid")
        token = secrets.token_urlsafe(300)
        with self._lock:
            self._tokens[token] = session, now + _TOKEN_LIVES
        return Answer(
            200,
            (("Content-Type", "application/json"),),
            json.dumps({"SigninToken": token}).encode(),
        )

    def _session(self, text: str) -> Session | None:
        try:
            given: Any = json.loads(text)
        except ValueError:
            return None
        names = {"sessionId", "sessionKey", "sessionToken"}
        if not isinstance(given, dict) or given.keys() != names or not all(given.values()):
            return None
        return self._sessions.find(str(given["sessionId"]))

    def _login(self, query: dict[str, str], now: float) -> Answer:
        with self._lock:
            session, until = self._tokens.pop(query.get("SigninToken", ""), (None, 0.0))
        to = urlsplit(query.get("Destination", ""))
        if session is None or now >= until or query.get("Action") != "login":
            return _text(400, "the token is not valid")
        if to.netloc not in self._hosts or not to.path.startswith(CONSOLE):
            return _text(400, "the destination is not the console's")
        cookie = secrets.token_urlsafe(24)
        with self._lock:
            self._signed_in[cookie] = session
        place = to.path + (f"?{to.query}" if to.query else "")
        headers = (
            ("Location", place),
            ("Set-Cookie", f"{_COOKIE}={cookie}; HttpOnly; SameSite=Lax; Path=/console/"),
        )
        return Answer(302, headers, b"")

    def _page(self, environ: WSGIEnvironment, now: float) -> Answer:
        try:
            cookie = SimpleCookie(str(environ.get("HTTP_COOKIE", ""))).get(_COOKIE)
        except CookieError:
            cookie = None
        with self._lock:
            session = self._signed_in.get(cookie.value) if cookie is not None else None
        if session is None or now >= session.end:
            return _text(403, "please sign in")
        return _text(200, f"signed in as {session.arn}")


def _text(status: int, told: str) -> Answer:
    page = f"<!doctype html><title>console</title><p>{escape(told)}</p>"
    return Answer(status, (("Content-Type", "text/html; charset=utf-8"),), page.encode())
