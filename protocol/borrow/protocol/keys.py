"""P-256 keys as JWKs: made, named by RFC 7638 thumbprint, published, pinned.

A private key is an `ECKey` that never prints its secret part; `PublicKeys` is what `verify` takes:
it finds a key by exact `kid` only, and is never empty.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from borrow.protocol.errors import Untrusted
from borrow.protocol.ids import words
from borrow.protocol.strict import b64url, from_b64url, parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CURVE = "P-256"
MAX_KEYS = 8  # in one JWKS: two in use, room for a rotation


def new_key() -> ECKey:
    """A fresh P-256 key. The randomness is the operating system's, inside the crypto library."""
    return ECKey.generate_key(CURVE, private=True)


def private_jwk(key: ECKey) -> dict[str, str]:
    """The JWK with its secret: for a 0600 file and nothing else."""
    return {k: v for k, v in key.as_dict(private=True).items() if isinstance(v, str)}


def public_jwk(key: ECKey, use: str) -> dict[str, str]:
    """RFC 7517 public JWK. `use` is `sig` (alg ES256) or `enc` (alg ECDH-ES)."""
    raw = key.as_dict(private=False)
    return {
        "kty": "EC",
        "crv": CURVE,
        "x": str(raw["x"]),
        "y": str(raw["y"]),
        "use": use,
        "alg": "ES256" if use == "sig" else "ECDH-ES",
        "kid": thumbprint(key),
    }


def thumbprint(key: ECKey) -> str:
    """RFC 7638 SHA-256 thumbprint, base64url: the only name a key has here."""
    return key.thumbprint()


def thumbprint_words(print_: str) -> str:
    """Four words people compare aloud: 64 bits of the thumbprint."""
    return words(from_b64url(print_, "thumbprint")[:8])


def load_key(jwk: Mapping[str, Any], *, private: bool) -> ECKey:
    """One P-256 key from an untrusted JWK; raises Untrusted for any other shape or curve."""
    wanted = {"kty": "EC", "crv": CURVE}
    if any(jwk.get(name) != value for name, value in wanted.items()):
        raise Untrusted("the key is not an EC P-256 key")
    names = ("kty", "crv", "x", "y", "d") if private else ("kty", "crv", "x", "y")
    if not all(isinstance(jwk.get(name), str) for name in names):
        raise Untrusted("the key lacks a part")
    if not private and "d" in jwk:
        raise Untrusted("a public key came with its secret part")
    try:
        key = ECKey.import_key({name: str(jwk[name]) for name in names})
        _ = key.thumbprint(), key.raw_value  # joserfc builds lazily: a bad point shows here
    except (JoseError, ValueError):
        raise Untrusted("the key is not an EC P-256 key") from None
    return key


def load_private(data: bytes | str, what: str = "key file") -> ECKey:
    return load_key(parse_object(data, what), private=True)


def dump_private(key: ECKey) -> bytes:
    return json.dumps(private_jwk(key)).encode()


def seed_of(key: ECKey) -> str:
    """The private scalar, base64url: what an invitation URL's fragment carries."""
    return private_jwk(key)["d"]


def key_from_seed(seed: str) -> ECKey:
    """The key whose private scalar is `seed` (32 bytes base64url), or Untrusted."""
    from cryptography.hazmat.primitives.asymmetric import ec

    raw = from_b64url(seed, "invitation key")
    if len(raw) != 32:
        raise Untrusted("the invitation key is not whole")
    try:
        private: EllipticCurvePrivateKey = ec.derive_private_key(
            int.from_bytes(raw), ec.SECP256R1()
        )
    except ValueError:
        raise Untrusted("the invitation key is not a key") from None
    point = private.public_key().public_numbers()
    x, y = (b64url(n.to_bytes(32)) for n in (point.x, point.y))
    return load_key({"kty": "EC", "crv": CURVE, "x": x, "y": y, "d": seed}, private=True)


class PublicKeys:
    """Keys of one party for one use, found by exact `kid` (their own thumbprint)."""

    def __init__(self, keys: Iterable[ECKey]) -> None:
        self._keys = {thumbprint(key): key for key in keys}
        if not self._keys:
            raise Untrusted("there is no key to verify with")

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, Any], use: str) -> PublicKeys:
        """The keys of an untrusted JWKS with `use`. A stated `kid` must be the thumbprint."""
        listed = jwks.get("keys")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_KEYS:
            raise Untrusted("the key set has no keys or too many")
        out = []
        for entry in listed:
            if not isinstance(entry, dict):
                raise Untrusted("the key set holds something that is no key")
            if entry.get("use") != use:
                continue
            key = load_key(entry, private=False)
            if entry.get("kid", thumbprint(key)) != thumbprint(key):
                raise Untrusted("a key's kid is not its thumbprint")
            out.append(key)
        return cls(out)

    def find(self, kid: str) -> ECKey:
        key = self._keys.get(kid)
        if key is None:
            raise Untrusted("the token is signed by a key that is not registered here")
        return key

    def only(self, prints: Iterable[str]) -> PublicKeys:
        """Those whose thumbprints are pinned; none left raises Untrusted."""
        wanted = set(prints)
        return PublicKeys(key for name, key in self._keys.items() if name in wanted)

    @property
    def kids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def first(self) -> ECKey:
        return next(iter(self._keys.values()))


def pair_pin(sig: ECKey, enc: ECKey) -> str:
    """One pin for a party's signing and sealing key together: base64url SHA-256, 256 bits.

    A pin of the signing key alone would let the server in between offer a sealing key of its own,
    and read what is sealed to the other party.
    """
    both = f"{thumbprint(sig)}.{thumbprint(enc)}"
    return b64url(hashlib.sha256(both.encode("ascii")).digest())


def pinned_pair(jwks: Mapping[str, Any], pin: str) -> tuple[PublicKeys, PublicKeys]:
    """(signing, sealing) key of an untrusted JWKS: exactly the pinned pair, else Untrusted."""
    sig, enc = PublicKeys.from_jwks(jwks, "sig"), PublicKeys.from_jwks(jwks, "enc")
    for one in sig.kids:
        for other in enc.kids:
            if pair_pin(sig.find(one), enc.find(other)) == pin:
                return sig.only([one]), enc.only([other])
    raise Untrusted("the keys shown are not the pinned ones")


def device_jwks(sig: ECKey, enc: ECKey) -> dict[str, Any]:
    """The public JWKS a device registers: one key to sign, one to seal to."""
    return {"keys": [public_jwk(sig, "sig"), public_jwk(enc, "enc")]}
