"""An OpenID Connect issuer on loopback: discovery, JWKS with certificates, and tokens to match.

For clouds under test that verify our cloud tokens. It can serve a key of the caller's (the minter's
issuer key), or one of its own with which `token` signs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

#: A certificate's dates; fixed, because nobody here checks them and a fake reads no clock.
_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = _FROM + timedelta(days=36_500)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def new_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class OidcIssuer:
    """`with OidcIssuer(key) as issuer:` serves `issuer.url` from a thread until the block ends."""

    def __init__(self, key: PrivateKey | None = None, *, kid: str = "") -> None:
        self._key = key or new_ec_key()
        self._jwk = _jwk(self._key)
        self.kid = kid or self._jwk.thumbprint()
        self.certificate = _self_signed(self._key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.asked: list[str] = []  # the paths that were fetched, in order

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks"

    @property
    def algorithm(self) -> str:
        return "RS256" if isinstance(self._key, rsa.RSAPrivateKey) else "ES256"

    @property
    def thumbprint(self) -> str:
        """SHA-1 of the certificate, in hex: what IAM calls a thumbprint."""
        return hashlib.sha1(self.certificate, usedforsecurity=False).hexdigest()

    def jwks(self) -> dict[str, Any]:
        """The public key; `x5c` carries its self-signed certificate for clouds that want one."""
        public = self._jwk.as_dict(private=False)
        x5c = [base64.b64encode(self.certificate).decode()]
        named = {"kid": self.kid, "alg": self.algorithm, "use": "sig", "x5c": x5c}
        return {"keys": [{**public, **named}]}

    def token(self, claims: Mapping[str, Any], *, by: PrivateKey | None = None) -> str:
        """A JWT with `iss` set; `by` signs with a key that is not the published one."""
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}
        signer = _jwk(by) if by else self._jwk
        return jwt.encode(header, {"iss": self.url, **claims}, signer, algorithms=[header["alg"]])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _pages(self) -> dict[str, Any]:
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": self.jwks_url,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [self.algorithm],
            },
            "/jwks": self.jwks(),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        def answer(handler: BaseHTTPRequestHandler) -> None:
            issuer.asked.append(handler.path)
            page = issuer._pages().get(handler.path)
            body = json.dumps(page).encode()
            handler.send_response(200 if page else 404)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        def quiet(*_: object) -> None:
            """The paths are in `asked`; a test's output stays clean."""

        return type("Handler", (BaseHTTPRequestHandler,), {"do_GET": answer, "log_message": quiet})


def _jwk(key: PrivateKey) -> ECKey | RSAKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RSAKey.import_key(pem) if isinstance(key, rsa.RSAPrivateKey) else ECKey.import_key(pem)


def _self_signed(key: PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.example.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)
