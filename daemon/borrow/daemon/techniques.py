"""How each client is told: what its request looks like, how it waits, what it makes of a status.

Decided within 0.4 s: the true status. Later: most SDKs give up after a second of silence, so their
`200` is opened at once and a space goes out every quarter second; a refusal then aborts the
connection, and the retry gets its 403 from memory. Go waits without a byte and shows the true
status, as does what is built on Rust's `object_store`; a program in Go that is no SDK v2 may wait
60 s for a first byte (minio-go), so it gets spaces too from 45 s on. Rust's own SDK reads a reason
only out of a `200` (of any other status it shows the number alone). Node's clients (JS v2, older JS
v3 and `fromContainerMetadata`) do not notice that an open answer was cut: their call would never
end, or the program ends with status 0. To these two a refusal after a `200` is a document that
nobody takes for credentials (`documents.explanation`). The fingerprint tunes this and is trusted
for nothing else (SDKS §0, §2, §9).
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from borrow.daemon.documents import explanation, refusal
from borrow.daemon.heads import chunk
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable, Untrusted

DECIDE_WITHIN: Final = 0.4  # seconds; the shortest client time-out is 1 s
GO_OPENS: Final = 45.0  # seconds; minio-go waits 60 s for the first byte, and shows no reason
RUST_WAITS: Final = 4.5  # seconds; the whole client's identity time-out is 5 s

AGAIN: Final = 10  # fetches whose result was over before it was written
PAUSE: Final = 0.2  # seconds before the next of them

_IMDS_TOKEN: Final = b"x-aws-ec2-metadata-token"

# Node's `http` says no name of itself.
_NODE_SENDS: Final = {b"Authorization", b"Host", b"Connection", _IMDS_TOKEN}
_RUST_SENDS: Final = {b"accept", b"authorization", b"host"}

STATUS: Final[tuple[tuple[type[BorrowError], int], ...]] = (
    (Refused, 403),
    (Unavailable, 503),
    (Misconfigured, 503),
    (Untrusted, 502),
    (BorrowError, 503),
)


class Technique(NamedTuple):
    """`opens`: seconds without a byte before the dribble. `limit`: seconds after which the client
    gives up anyhow; None: it has no limit.

    `explain`: it shows the reason of a refusal only out of a `200`. `deaf`: it never notices that
    its open `200` was cut. `wordless`: and takes any document for credentials.
    """

    dribble: bool
    limit: float | None = None
    opens: float = DECIDE_WITHIN
    explain: bool = False
    deaf: bool = False
    wordless: bool = False


PLAIN: Final = Technique(dribble=False)
PATIENT: Final = Technique(dribble=True, opens=GO_OPENS)
DRIBBLE: Final = Technique(dribble=True)
NODE: Final = Technique(dribble=True, deaf=True)
NODE_IMDS: Final = Technique(dribble=True, deaf=True, wordless=True)
RUST: Final = Technique(dribble=True, limit=RUST_WAITS, explain=True)


def technique_for(headers: tuple[tuple[bytes, bytes], ...]) -> Technique:
    """From the raw headers: their exact case is part of the fingerprint."""
    exact = dict(headers)
    lower = {name.lower(): value for name, value in headers}
    agent = lower.get(b"user-agent", b"")
    if agent.startswith((b"Go-http-client", b"aws-sdk-go/")):
        return PLAIN if _names_attempts(lower) else PATIENT
    if agent.startswith(b"object_store/"):
        return PLAIN
    # Terraform sends an agent of its own through Go's HTTP client.
    if b"Amz-Sdk-Request" in exact and exact.get(b"Accept-Encoding") == b"gzip":
        return PLAIN
    node = not agent and b"Connection" in exact and exact.keys() <= _NODE_SENDS
    if node or agent.startswith(b"aws-sdk-nodejs/"):
        return NODE_IMDS if _IMDS_TOKEN in exact else NODE
    # The whole request of Rust's credential provider: one header more is another client.
    rust = exact.keys() == _RUST_SENDS and exact[b"accept"] == b"application/json"
    return RUST if rust and len(headers) == len(exact) else DRIBBLE


def _names_attempts(lower: dict[bytes, bytes]) -> bool:
    """As the SDK does, which waits without a limit; other programs in Go may have one."""
    return b"amz-sdk-request" in lower


def status_of(error: BorrowError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


def told(result: bytes | BorrowError, technique: Technique) -> tuple[int, bytes]:
    """The status and body of an answer that nothing of was sent yet."""
    if isinstance(result, bytes):
        return 200, result
    if technique.explain:
        return 200, _explained(result)
    status = status_of(result)
    return status, json.dumps(refusal(result, status)).encode()


def last_words(result: bytes | BorrowError, technique: Technique) -> bytes | None:
    """What ends a `200` that is open; None: it is cut, and the retry hears why.

    Never an error document to others: Go and google-auth would send unsigned calls.
    """
    if isinstance(result, bytes):
        return result
    if technique.wordless:
        return b" "  # no JSON at all: an error to every reader
    return _explained(result) if technique.explain or technique.deaf else None


def farewell(technique: Technique) -> bytes:
    """What an open `200` hears when the daemon stops, as chunks; nothing where it may be cut."""
    gone = Unavailable("the daemon was stopped while this waited", hint="call again")
    last = last_words(gone, technique) if technique.deaf else None
    return b"" if last is None else chunk(last) + chunk(b"")


def _explained(error: BorrowError) -> bytes:
    return json.dumps(explanation(error, status_of(error))).encode()
