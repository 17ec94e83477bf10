"""The names of things: requests `r-…`, grants `g-…`, devices `d-…`, and words to read aloud.

Ids are ULIDs (https://github.com/ulid/spec): 48 bits of milliseconds, 80 bits of randomness,
Crockford base 32, lower case here. Randomness is an argument: 10 bytes from the caller's edge.
"""

from __future__ import annotations

import re
from typing import NewType

from borrow.protocol.errors import Untrusted

RequestId = NewType("RequestId", str)
GrantId = NewType("GrantId", str)
ClientId = NewType("ClientId", str)

ENTROPY_BYTES = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SHAPE = re.compile(r"([rgd])-[0-9a-hjkmnp-tv-z]{26}", re.ASCII)
_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"


def new_request_id(now: float, entropy: bytes) -> RequestId:
    return RequestId("r-" + _ulid(now, entropy))


def new_grant_id(now: float, entropy: bytes) -> GrantId:
    return GrantId("g-" + _ulid(now, entropy))


def new_client_id(now: float, entropy: bytes) -> ClientId:
    return ClientId("d-" + _ulid(now, entropy))


def kind_of(text: str) -> str:
    """`r`, `g` or `d`; anything that is not one of our ids raises Untrusted."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise Untrusted("not an id of a request, grant or device", hint="ids look like r-… or g-…")
    return match[1]


def words(data: bytes) -> str:
    """A pronounceable word per two bytes, joined by `-` (proquints, arXiv:0901.4016)."""
    pairs = [int.from_bytes(data[i : i + 2].ljust(2, b"\0")) for i in range(0, len(data), 2)]
    return "-".join(_word(pair) for pair in pairs)


def _word(bits: int) -> str:
    return (
        _CONSONANTS[bits >> 12 & 15]
        + _VOWELS[bits >> 10 & 3]
        + _CONSONANTS[bits >> 6 & 15]
        + _VOWELS[bits >> 4 & 3]
        + _CONSONANTS[bits & 15]
    )


def _ulid(now: float, entropy: bytes) -> str:
    if len(entropy) != ENTROPY_BYTES:
        raise RuntimeError("a ULID takes exactly 10 random bytes")
    number = (int(now * 1000) & (2**48 - 1)) << 80 | int.from_bytes(entropy)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
