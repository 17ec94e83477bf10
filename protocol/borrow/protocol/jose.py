"""One strict way to sign, verify, seal and open (RFC 7515, 7516; ES256, ECDH-ES + A256GCM).

`verify` is the only door from a token to its payload, and its result has its own type. What the
library leaves open it closes: exact `typ`, exact `kid`, no `crit` or embedded keys, no duplicate
members, at most 16 KiB (PROTOCOL "Signing rules").
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jwe, jws
from joserfc.errors import JoseError

from borrow.protocol.errors import Untrusted
from borrow.protocol.keys import PublicKeys, thumbprint
from borrow.protocol.strict import b64url, from_b64url, parse_object

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from joserfc.jwk import ECKey

MAX_TOKEN = 16_384  # bytes; every token of the profile fits several times
MAX_SEALED = 32_768  # bytes; a sealed token is a token in base64url once more
SKEW = 60  # seconds two honest clocks may differ
_HEADER_MEMBERS = frozenset({"alg", "typ", "kid", "cty"})
_SEALED_MEMBERS = frozenset({"alg", "enc", "epk", "kid", "typ", "cty"})


@dataclass(frozen=True, slots=True)
class Verified:
    """A token whose signature, type and key were checked. Made by `verify` alone."""

    claims: dict[str, Any]
    payload: bytes
    kid: str
    signing_input_hash: str  # base64url SHA-256 of ASCII(header.payload)


def sign(payload: Mapping[str, Any] | bytes, key: ECKey, typ: str) -> str:
    """Compact JWS, ES256, with `typ` and the key's thumbprint as `kid`."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    header = {"alg": "ES256", "typ": typ, "kid": thumbprint(key)}
    token = jws.serialize_compact(header, body, key, algorithms=["ES256"])
    if len(token) > MAX_TOKEN:
        raise RuntimeError(f"a {typ} of ours is larger than {MAX_TOKEN} bytes")
    return token


def verify(
    token: str, keys: PublicKeys, typ: str, *, also_typ: Collection[str | None] = ()
) -> Verified:
    """The payload of `token`, or Untrusted; there is no way to ask and carry on.

    1. size and shape: three canonical base64url parts (a second spelling is a second token)
    2. header: known members only, so no crit, jwk, jku, x5u, b64 (they would choose the key)
    3. `alg` is ES256 and `typ` exactly the wanted one (a token never serves another purpose)
    4. the key: exactly the registered one that `kid` names
    5. the signature, over the bytes as they came
    6. the payload, parsed strictly (two parsers must not read two messages)

    `also_typ` lists further spellings where a standard allows them; None means absent.
    """
    header_text, _, _ = parts = _parts(token)
    header = parse_object(from_b64url(header_text, "token header"), "token header")
    if not header.keys() <= _HEADER_MEMBERS:
        raise Untrusted("the token header has members that are not allowed")
    if header.get("alg") != "ES256":
        raise Untrusted("the token is not signed with ES256")
    if header.get("typ") != typ and header.get("typ") not in also_typ:
        raise Untrusted(f"the token is not a {typ}")
    if not isinstance(header.get("typ"), str | None):
        raise Untrusted(f"the token is not a {typ}")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise Untrusted("the token names no key")
    key = keys.find(kid)
    try:
        payload = jws.deserialize_compact(token, key, algorithms=["ES256"]).payload
    except (JoseError, ValueError):
        raise Untrusted("the token's signature does not verify") from None
    return Verified(
        claims=parse_object(payload, "token payload", limit=MAX_TOKEN),
        payload=payload,
        kid=kid,
        signing_input_hash=signing_input_hash(".".join(parts[:2])),
    )


def signing_input_hash(token_or_input: str) -> str:
    """base64url(SHA-256(ASCII(`header.payload`))): stable where an ECDSA signature is not."""
    signing_input = ".".join(token_or_input.split(".")[:2])
    return b64url(hashlib.sha256(signing_input.encode("ascii")).digest())


def unverified_claims(token: str) -> dict[str, Any]:
    """What `token` says before anyone checked it: only to look up whose keys to verify with."""
    return parse_object(from_b64url(_parts(token)[1], "token payload"), "token payload")


def check_times(
    claims: Mapping[str, Any], now: float, *, longest: int, need_nbf: bool = False
) -> None:
    """Integer `iat`, `exp` (and `nbf`) around `now` ± SKEW, living at most `longest` seconds."""
    names = ("iat", "exp", "nbf") if need_nbf or "nbf" in claims else ("iat", "exp")
    for name in names:
        if not isinstance(claims.get(name), int) or isinstance(claims.get(name), bool):
            raise Untrusted(f"the token's {name} is not a whole number of seconds")
    start = max(claims["iat"], claims.get("nbf", 0))
    if start > now + SKEW:
        raise Untrusted("the token is from the future", state="clock_skew")
    if claims["exp"] <= now - SKEW:
        raise Untrusted("the token has expired", state="clock_skew")
    if claims["exp"] - start > longest or claims["exp"] <= start:
        raise Untrusted(f"the token lives longer than {longest} seconds, or not at all")


def seal(plaintext: bytes | str, to: ECKey, typ: str) -> str:
    """Compact JWE for one key: ECDH-ES + A256GCM, no compression."""
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": typ, "kid": thumbprint(to)}
    return jwe.encrypt_compact(header, plaintext, to, algorithms=["ECDH-ES", "A256GCM"])


def unseal(token: str, key: ECKey, typ: str) -> bytes:
    """The plaintext of a JWE made by `seal` for exactly this key and `typ`, or Untrusted."""
    pieces = token.split(".")
    if len(token) > MAX_SEALED or len(pieces) != 5 or not token.isascii():
        raise Untrusted("the sealed message has the wrong shape")
    header = parse_object(from_b64url(pieces[0], "sealed header"), "sealed header")
    if not header.keys() <= _SEALED_MEMBERS:
        raise Untrusted("the sealed header has members that are not allowed")  # zip, crit, p2s …
    if (header.get("alg"), header.get("enc")) != ("ECDH-ES", "A256GCM"):
        raise Untrusted("the message is not sealed with ECDH-ES and A256GCM")
    if header.get("typ") != typ or header.get("kid") != thumbprint(key):
        raise Untrusted(f"the message is not a {typ} for this key")
    try:
        opened = jwe.decrypt_compact(token, key, algorithms=["ECDH-ES", "A256GCM"])
    except (JoseError, ValueError, TypeError, KeyError):
        raise Untrusted("the sealed message does not open with this key") from None
    if opened.plaintext is None:
        raise Untrusted("the sealed message is empty")
    return opened.plaintext


def _parts(token: str) -> list[str]:
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3 or not token.isascii():
        raise Untrusted("the token has the wrong shape")
    for part in parts:
        from_b64url(part, "token")
    return parts
