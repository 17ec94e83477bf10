"""One raw HTTP exchange with an endpoint under test: what came, and when each piece did.

No HTTP library on purpose: what is looked at is what a library would smooth over (silence, chunks,
a cut connection, header bytes).
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONNECT: Final = 5.0  # seconds
LARGEST: Final = 1 << 20  # bytes; more is no credential document


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask. `token` goes into Authorization as it is."""

    host: str
    port: int
    path: str
    token: str = field(repr=False, default="")

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Exchange:
    """`moments` are seconds since the request was sent, one for each piece that arrived."""

    status: int = 0  # 0: no whole head came
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    moments: list[float] = field(default_factory=list)
    whole: bool = False  # the body ended as its framing promised
    undecided: bool = False  # we stopped waiting, the endpoint did not

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        return ", ".join(self.all(name))

    @property
    def first(self) -> float:
        return self.moments[0] if self.moments else float("inf")

    @property
    def longest_silence(self) -> float:
        pairs = zip([0.0, *self.moments], self.moments, strict=False)
        return max((after - before for before, after in pairs), default=float("inf"))


def request(
    target: Target,
    *,
    method: str = "GET",
    path: str = "",
    hosts: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> bytes:
    """The bytes of a request. `token=""` sends none, `hosts` replaces the one Host header."""
    sent = target.token if token is None else token
    lines = [f"{method} {path or target.path} HTTP/1.1"]
    lines += [f"Host: {host}" for host in ([target.authority] if hosts is None else hosts)]
    lines += ["Accept: application/json", "User-Agent: python-urllib3/2"]
    lines += [f"Authorization: {sent}"] if sent else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def exchange(target: Target, sent: bytes, *, seconds: float) -> Exchange:
    """Send `sent` and read until the answer is whole, the line is cut or `seconds` are over.

    An endpoint that cannot be reached is an OSError.
    """
    found, raw = Exchange(), b""
    with socket.create_connection((target.host, target.port), timeout=CONNECT) as line:
        line.sendall(sent)
        start = time.monotonic()
        while not found.whole and len(raw) < LARGEST:
            left = start + seconds - time.monotonic()
            if left <= 0:
                found.undecided = True
                break
            line.settimeout(left)
            try:
                piece = line.recv(65_536)
            except TimeoutError:
                found.undecided = True
                break
            except OSError:  # cut: an answer too
                break
            if piece:
                found.moments.append(time.monotonic() - start)
            raw += piece
            _read(raw, found, ended=not piece)
            if not piece:
                break
    return found


def _read(raw: bytes, found: Exchange, *, ended: bool) -> None:
    """Fill `found` with what `raw` means so far."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator:
        return
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split()
    found.status = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    pairs = (line.partition(":") for line in lines)
    found.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    length = found.one("content-length")
    if "chunked" in found.one("transfer-encoding").lower():
        found.body, found.whole = _chunks(rest)
    elif length.isdecimal():
        found.body = rest[: int(length)]
        found.whole = len(rest) >= int(length)
    else:
        found.body, found.whole = rest, ended


def _chunks(rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        size, separator, rest = rest.partition(b"\r\n")
        try:
            count = int(size.split(b";")[0], 16)
        except ValueError:
            return body, False
        if not separator or len(rest) < count:
            return body + rest, False
        if count == 0:
            return body, True
        body, rest = body + rest[:count], rest[count + 2 :]
