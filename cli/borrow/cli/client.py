"""The thin client of the daemon's control socket: JSON over HTTP/1.1 on a Unix socket.

Standard library only and no `http.client` (it imports TLS and mail parsers: 20 ms that every
`borrow run` would pay). Before anything is sent, the kernel says who listens: another user's
socket gets nothing. Text in answers is as untrusted as any; showing it is `say`'s business.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

CONNECT_WITHIN: Final = 2.0  # seconds; the daemon is on this machine
ANSWER_WITHIN: Final = 40.0  # seconds; above one long poll of the approver (25 s)
MAX_ANSWER: Final = 8 << 20  # bytes of one JSON answer
MAX_LINE: Final = 1 << 16  # bytes of a header line, or of one event
MAX_HEADERS: Final = 64
NOT_RUNNING: Final = "not_running"
STARTING = "`borrow daemon start`, then `borrow daemon logs` if it does not stay"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]


class Control:
    """One daemon. Each call is one connection; `within` bounds the answer to a look, in seconds."""

    def __init__(self, path: Path, *, uid: int, within: float = ANSWER_WITHIN) -> None:
        self._path = path
        self._uid = uid
        self._within = within

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        if query:
            from urllib.parse import urlencode

            path += f"?{urlencode(query)}"
        return self.call("GET", path, within=self._within)

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, *, within: float = ANSWER_WITHIN
    ) -> dict[str, Any]:
        return self.call("POST", path, body or {}, within=within)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        within: float = ANSWER_WITHIN,
    ) -> dict[str, Any]:
        """The JSON object that the daemon answers; its errors are raised as ours."""
        try:
            with Connection(self._path, self._uid) as connection:
                connection.send(method, path, body)
                answer = connection.answer(within)
                return _object(answer, connection.body(answer, within))
        except TimeoutError as exc:
            raise _silent() from exc

    def stream(self, path: str, body: Mapping[str, Any]) -> Stream:
        """A call whose answer comes line by line."""
        return self._stream("POST", path, body)

    def follow(self, path: str) -> Stream:
        """A look whose answer comes line by line."""
        return self._stream("GET", path, None)

    def _stream(self, method: str, path: str, body: Mapping[str, Any] | None) -> Stream:
        connection = Connection(self._path, self._uid)
        try:
            connection.send(method, path, body)
            answer = connection.answer(ANSWER_WITHIN)
            if answer.status >= 400:
                _object(answer, connection.body(answer, ANSWER_WITHIN))
        except TimeoutError as exc:
            connection.close()
            raise _silent() from exc
        except BaseException:
            connection.close()
            raise
        return Stream(connection, answer)

    def is_up(self) -> bool:
        """Whether something of ours accepts connections there."""
        try:
            Connection(self._path, self._uid).close()
        except Unavailable:
            return False
        return True


def segment(text: str) -> str:
    """One path segment that holds exactly `text`."""
    from urllib.parse import quote

    return quote(text, safe="")


class Connection:
    """A connected socket and what was read too far."""

    def __init__(self, path: Path, uid: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._read = bytearray()
        self._chunked = False
        self._left: int | None = 0  # bytes of the chunk or body to come; None = until the end
        self._closing = False  # the line end after a chunk is still to come
        self._over = False  # the last chunk was seen
        try:
            self._socket.settimeout(CONNECT_WITHIN)
            self._socket.connect(str(path))
            _check_owner(self._socket, uid)
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            self.close()
            raise Unavailable(
                "the daemon is not running", hint=STARTING, state=NOT_RUNNING
            ) from exc
        except OSError as exc:
            self.close()
            raise Unavailable(
                f"the daemon cannot be reached: {exc.strerror or 'no answer'}", hint=STARTING
            ) from exc
        except BorrowError:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: borrow\r\nConnection: close\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        try:
            self._socket.sendall(head.encode("ascii") + b"\r\n" + data)
        except OSError as exc:
            raise _gone() from exc

    def answer(self, within: float) -> Answer:
        """Status and headers. Waits `within` seconds for each part of them."""
        self._socket.settimeout(within)
        status = self._line().split(b" ", 2)
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].isdigit():
            raise Untrusted("the daemon's answer is not HTTP")
        headers: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self._line()
            if not line:
                break
            name, _colon, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        else:
            raise Untrusted("the daemon's answer has too many headers")
        return Answer(int(status[1]), headers)

    def body(self, answer: Answer, within: float) -> bytes:
        """All of it. Waits `within` seconds for each part."""
        self._socket.settimeout(within)
        self._frame(answer)
        out = bytearray()
        while piece := self._piece():
            out += piece
            _limit(len(out))
        return bytes(out)

    def begin(self, answer: Answer) -> None:
        """From here on `piece` gives the body."""
        self._frame(answer)

    def piece(self, within: float) -> bytes | None:
        """The next bytes of the body: b'' at its end, None after `within` seconds."""
        self._socket.settimeout(within)
        try:
            return self._piece()
        except TimeoutError:
            return None

    def _frame(self, answer: Answer) -> None:
        """How the body's end is told: by chunks, by a length, or by the connection's end."""
        length = answer.headers.get("content-length")
        if "chunked" in answer.headers.get("transfer-encoding", ""):
            self._chunked = True
        elif length is not None:
            if not length.isdecimal():
                raise Untrusted("the daemon's answer has no length")
            _limit(int(length))
            self._left = int(length)
            self._over = not self._left
        else:
            self._left = None

    def _piece(self) -> bytes:
        if self._chunked and not self._left:
            self._next_chunk()
        if self._over:
            return b""
        if not self._read and not self._more():
            if self._left is not None:
                raise _gone()
            self._over = True
            return b""
        piece = bytes(self._read if self._left is None else self._read[: self._left])
        del self._read[: len(piece)]
        if self._left is not None:
            self._left -= len(piece)
            self._over = not self._left and not self._chunked
            self._closing = not self._left and self._chunked
        return piece

    def _next_chunk(self) -> None:
        if self._over:
            return
        if self._closing:
            self._line()
            self._closing = False
        size = self._line().split(b";")[0]
        try:
            self._left = int(size, 16)
        except ValueError:
            raise Untrusted("the daemon's answer is broken off") from None
        self._over = not self._left

    def _line(self) -> bytes:
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > MAX_LINE:
                raise Untrusted("the daemon's answer has too long a line")
            if not self._more():
                raise _gone()
        line = bytes(self._read[:end]).rstrip(b"\r")
        del self._read[: end + 1]
        return line

    def _more(self) -> bool:
        """Read on; False at the connection's end."""
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError as exc:
            raise _gone() from exc
        self._read += data
        return bool(data)


class Stream:
    """Events of one call, one JSON object a line. Leaving it does not cancel what was asked."""

    def __init__(self, connection: Connection, answer: Answer) -> None:
        connection.begin(answer)
        self._connection = connection
        self._text = bytearray()

    def events(self, tick: float) -> Iterator[dict[str, Any] | None]:
        """Each event as it comes; None whenever `tick` seconds pass without one."""
        with self._connection:
            while True:
                piece = self._connection.piece(tick)
                if piece is None:
                    yield None
                    continue
                self._text += piece
                while (end := self._text.find(b"\n")) >= 0:
                    line = bytes(self._text[:end])
                    del self._text[: end + 1]
                    if line.strip():
                        yield _parsed(line)
                if not piece:
                    return
                if len(self._text) > MAX_LINE:
                    raise Untrusted("the daemon sent too long an event")

    def close(self) -> None:
        self._connection.close()


def _gone() -> Unavailable:
    return Unavailable("the daemon broke off", hint="`borrow daemon logs` may say why")


def _silent() -> Unavailable:
    return Unavailable("the daemon did not answer in time", hint="`borrow daemon logs` may say why")


def _limit(size: int) -> None:
    if size > MAX_ANSWER:
        raise Untrusted(f"the daemon's answer is larger than {MAX_ANSWER >> 20} MiB")


def _check_owner(connected: socket.socket, uid: int) -> None:
    """The listener is this user's, says the kernel. Where it does not say, the 0700 folder does."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return
    _, owner, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, option, 12))
    if owner != uid:
        raise Misconfigured(
            f"the daemon's socket is served by uid {owner}, not by you",
            hint="end that process; nothing was sent to it",
            state="foreign_socket",
        )


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Untrusted("the daemon's answer is not a JSON object")
    return value


def _object(answer: Answer, data: bytes) -> dict[str, Any]:
    body = _parsed(data) if data.strip() else {}
    if answer.status >= 400:
        raise error_of(answer.status, body)
    return body


def error_of(status: int, body: Mapping[str, Any]) -> BorrowError:
    """The error that an answer means: the daemon's shape, or OAuth's from an approver's socket."""
    told = body.get("error")
    if isinstance(told, str):
        from borrow.protocol.oauth import from_wire

        return from_wire(dict(body))
    if not isinstance(told, dict):
        return Unavailable(f"the daemon answered {status}", hint="`borrow daemon logs` may say why")
    message = str(told.get("message") or "the daemon refused")
    hint, state = str(told.get("hint") or ""), str(told.get("state") or "")
    fields = told.get("fields")
    match status:
        case 422:
            named = fields if isinstance(fields, dict) else {}
            return Needs(message, fields={str(k): str(v) for k, v in named.items()}, hint=hint)
        case 409:
            return Misconfigured(message, hint=hint, state=state)
        case 400:
            return Untrusted(message, hint=hint, state=state)
        case _ if status >= 500:
            return Unavailable(message, hint=hint, state=state)
        case _:
            return Refused(message, hint=hint, state=state, request=str(told.get("request") or ""))
