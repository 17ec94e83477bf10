"""An STS on loopback that counts: it answers what a test queued, and keeps what it was asked.

It checks nothing; whether a call is right is judged by the stand-in cloud and by Ceph.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from types import TracebackType

ACCESS_KEY_ID = "ASIAFAKEFAKEFAKEFAKE"
SECRET = "FAKEsecretFAKEsecretFAKEsecretFAKEsecret"
TOKEN = "FAKEtoken" * 8


@dataclass(frozen=True)
class Answer:
    """`hold`: the connection stays silent until the server is closed."""

    body: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    hold: bool = False


@dataclass
class Asked:
    form: dict[str, str]
    headers: dict[str, str] = field(repr=False)


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def session(action: str, expires: float | str, **parts: str) -> Answer:
    """A good answer of `action`; `expires` is unix seconds, or a text as STS would send it."""
    named = {"AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": SECRET, "SessionToken": TOKEN}
    named |= {"Expiration": expires if isinstance(expires, str) else iso(expires)} | parts
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in named.items() if text)
    return Answer(
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
        f"<Credentials>{inner}</Credentials></{action}Result>"
        f"<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
    )


def failure(code: str, message: str = "", status: int = 400, **headers: str) -> Answer:
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
        "</Error><RequestId>1</RequestId></ErrorResponse>"
    )
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(body, status, told)


class FakeSts:
    """`with FakeSts() as sts:`; the last of `answers` is given again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sts = self

        def do_POST(handler: BaseHTTPRequestHandler) -> None:  # noqa: N802  its name there
            body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
            sts.asked.append(Asked(dict(parse_qsl(body)), dict(handler.headers)))
            answer = sts.answers.pop(0) if len(sts.answers) > 1 else sts.answers[0]
            if answer.hold:
                sts._over.wait(30)
                return
            data = answer.body.encode()
            handler.send_response(answer.status)
            for name, value in (("Content-Type", "text/xml"), *answer.headers):
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

        def quiet(*_: object) -> None:
            """What was asked is in `asked`."""

        parts = {"do_POST": do_POST, "log_message": quiet}
        return type("Handler", (BaseHTTPRequestHandler,), parts)
