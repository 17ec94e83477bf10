"""How each client is told: what its request looks like, how it waits, what it makes of a status.

Decided within 0.4 s: the true status. Later: most SDKs give up after a second of silence, so their
`200` is opened at once and a space goes out every quarter second; a refusal then aborts the
connection, and the retry gets its 403 from memory. Go waits without a byte and shows the true
status. Rust reads a reason only out of a `200` (of any other status it shows the number alone), and
only Rust gets one, in a document that nobody takes for credentials (`documents.explanation`). The
fingerprint tunes this and is trusted for nothing else (SDKS §0, §2, §9).
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from borrow.daemon.documents import explanation, refusal
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable, Untrusted

DECIDE_WITHIN: Final = 0.4  # seconds; the shortest client time-out is 1 s
RUST_WAITS: Final = 4.5  # seconds; the whole client's identity time-out is 5 s

AGAIN: Final = 10  # fetches whose result was over before it was written
PAUSE: Final = 0.2  # seconds before the next of them

_RUST_SENDS: Final = {b"accept", b"authorization", b"host"}

STATUS: Final[tuple[tuple[type[BorrowError], int], ...]] = (
    (Refused, 403),
    (Unavailable, 503),
    (Misconfigured, 503),
    (Untrusted, 502),
    (BorrowError, 503),
)


class Technique(NamedTuple):
    """`limit`: seconds after which the client gives up anyhow; None: it has no limit.

    `explain`: it shows the reason of a refusal only out of a `200`.
    """

    dribble: bool
    limit: float | None = None
    explain: bool = False


PLAIN: Final = Technique(dribble=False)
DRIBBLE: Final = Technique(dribble=True)
RUST: Final = Technique(dribble=True, limit=RUST_WAITS, explain=True)


def technique_for(headers: tuple[tuple[bytes, bytes], ...]) -> Technique:
    """From the raw headers: their exact case is part of the fingerprint."""
    exact = dict(headers)
    lower = {name.lower(): value for name, value in headers}
    agent = lower.get(b"user-agent", b"")
    if agent.startswith(b"Go-http-client"):
        return PLAIN
    # Terraform sends an agent of its own through Go's HTTP client.
    if b"Amz-Sdk-Request" in exact and exact.get(b"Accept-Encoding") == b"gzip":
        return PLAIN
    # The whole request of Rust's credential provider: one header more is another client.
    rust = exact.keys() == _RUST_SENDS and exact[b"accept"] == b"application/json"
    return RUST if rust and len(headers) == len(exact) else DRIBBLE


def status_of(error: BorrowError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


def told(result: bytes | BorrowError, technique: Technique) -> tuple[int, bytes]:
    """The status and body of an answer that nothing of was sent yet."""
    if isinstance(result, bytes):
        return 200, result
    status = status_of(result)
    write = explanation if technique.explain else refusal
    return 200 if technique.explain else status, json.dumps(write(result, status)).encode()
