"""A WebAuthn authenticator with its browser, in software: real keys, real CBOR, any lie.

It answers as `PublicKeyCredential.toJSON()` would. What it is told to get wrong, it gets wrong in
the signed bytes, so that only the check under test can refuse it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from borrow.protocol.strict import b64url

UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


@dataclass(slots=True)
class Authenticator:
    """One passkey of one person. `counter` 0 stays 0, as with passkeys that are synced."""

    rp_id: str
    origin: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    counter: int = 0
    user_handle: str = ""

    @property
    def credential_id(self) -> str:
        return b64url(self.credential)

    def public_key(self) -> bytes:
        """As COSE (RFC 9053 §2.1)."""
        numbers = self.key.public_key().public_numbers()
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: _bytes(numbers.x), -3: _bytes(numbers.y)})

    def create(self, challenge: bytes, /, **lies: Any) -> str:
        """The answer to `navigator.credentials.create`, attestation `none`."""
        client = self._client("webauthn.create", challenge, lies)
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential
        data = self._data(lies, AT) + attested + self.public_key()
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": b64url(client),
            "attestationObject": b64url(attestation),
            "transports": ["internal"],
        }
        return self._answer(response)

    def get(self, challenge: bytes, /, **lies: Any) -> str:
        """The answer to `navigator.credentials.get`.

        Lies: origin, crossOrigin, type, challenge (in what the browser signs), rp_id, flags,
        counter, extension (bytes; in what the authenticator signs), signature (bytes).
        """
        if self.counter:
            self.counter += 1
        client, data = self._client("webauthn.get", challenge, lies), self._data(lies, 0)
        if "extension" in lies:
            data = self._data(lies, ED) + cbor2.dumps({"odd": lies["extension"]})
        signed = data + hashlib.sha256(client).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": b64url(client),
            "authenticatorData": b64url(data),
            "signature": b64url(lies.get("signature", signature)),
        }
        if self.user_handle:
            response["userHandle"] = self.user_handle
        return self._answer(response)

    def _client(self, kind: str, challenge: bytes, lies: dict[str, Any]) -> bytes:
        said: dict[str, Any] = {
            "type": lies.get("type", kind),
            "challenge": b64url(lies.get("challenge", challenge)),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": lies.get("crossOrigin", False),
        }
        if "topOrigin" in lies:
            said["topOrigin"] = lies["topOrigin"]
        return json.dumps(said).encode()

    def _data(self, lies: dict[str, Any], more: int) -> bytes:
        rp = hashlib.sha256(str(lies.get("rp_id", self.rp_id)).encode()).digest()
        flags: int = lies.get("flags", UP | UV | BE | BS) | more
        counter: int = lies.get("counter", self.counter)
        return rp + bytes([flags]) + counter.to_bytes(4, "big")

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps(
            {
                "id": self.credential_id,
                "rawId": self.credential_id,
                "type": "public-key",
                "authenticatorAttachment": "platform",
                "clientExtensionResults": {},
                "response": response,
            }
        )


def _bytes(number: int) -> bytes:
    return number.to_bytes(32, "big")
