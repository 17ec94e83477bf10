"""A device written from docs/protocol.md alone: nothing of Borrow is imported, and no JOSE library.

Only `cryptography` and the standard library. Where it cannot do what the page says, either the page
or the server is wrong. It is blocking; a test runs it in a thread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import struct
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Key = ec.EllipticCurvePrivateKey
Json = dict[str, Any]
CIBA = "urn:openid:params:grant-type:ciba"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwk_of(key: ec.EllipticCurvePublicKey) -> Json:
    at = key.public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": b64(at.x.to_bytes(32)), "y": b64(at.y.to_bytes(32))}


def public(jwk: Json) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(unb64(jwk[name])) for name in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def thumb(jwk: Json) -> str:
    """RFC 7638."""
    needed = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return b64(hashlib.sha256(json.dumps(needed, separators=(",", ":")).encode()).digest())


def sign(payload: bytes | Json, key: Key, **header: str) -> str:
    """A compact JWS, ES256."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    head = {"alg": "ES256", "kid": thumb(jwk_of(key.public_key()))} | header
    return signed_as(json.dumps(head), body.decode(), key)


def signed_as(head: str, body: str, key: Key) -> str:
    """Exactly this header and this payload, whatever they say."""
    signed = f"{b64(head.encode())}.{b64(body.encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def verified(token: str, jwks: list[Json], typ: str) -> bytes:
    head, body, signature = token.split(".")
    header = json.loads(unb64(head))
    assert (header["alg"], header["typ"]) == ("ES256", typ)
    (jwk,) = [each for each in jwks if thumb(each) == header["kid"]]
    raw = unb64(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public(jwk).verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    return unb64(body)


def _derived(key: Key, other: ec.EllipticCurvePublicKey) -> bytes:
    """RFC 7518 §4.6.2, for A256GCM and no party information."""
    shared = key.exchange(ec.ECDH(), other)
    named = struct.pack(">I", 7) + b"A256GCM" + struct.pack(">III", 0, 0, 256)
    return hashlib.sha256(struct.pack(">I", 1) + shared + named).digest()


def seal(plain: str, to: Json, typ: str) -> str:
    once = ec.generate_private_key(ec.SECP256R1())
    head = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": typ, "kid": thumb(to)}
    head_b64 = b64(json.dumps(head | {"epk": jwk_of(once.public_key())}).encode())
    iv = secrets.token_bytes(12)
    out = AESGCM(_derived(once, public(to))).encrypt(iv, plain.encode(), head_b64.encode())
    return ".".join((head_b64, "", b64(iv), b64(out[:-16]), b64(out[-16:])))


def opened(token: str, key: Key, typ: str) -> bytes:
    head, empty, iv, text, tag = token.split(".")
    header = json.loads(unb64(head))
    assert (header["alg"], header["enc"], header["typ"], empty) == ("ECDH-ES", "A256GCM", typ, "")
    secret = _derived(key, public(header["epk"]))
    return AESGCM(secret).decrypt(unb64(iv), unb64(text) + unb64(tag), head.encode())


def code_at(secret: str, at: float) -> str:
    """RFC 6238, six digits, 30 s."""
    step = struct.pack(">Q", int(at) // 30)
    made = hmac.digest(base64.b32decode(secret), step, "sha1")
    at_ = made[-1] & 15
    return f"{(int.from_bytes(made[at_ : at_ + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


@dataclass(slots=True)
class PageDevice:
    """One device; `join` first. `clock` gives unix seconds."""

    clock: Any = time.time  # noqa: TID251  the edge
    sig: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    enc: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    issuer: str = ""
    person: str = ""
    client_id: str = ""
    minter: list[Json] = field(default_factory=list)
    approver: list[Json] = field(default_factory=list)

    # -- calling ---------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Json]:
        at = http.client.HTTPConnection(urlsplit(self.issuer).netloc, timeout=30)
        try:
            at.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = at.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            at.close()

    def form(self, path: str, **members: str) -> tuple[int, Json]:
        now = int(self.clock())
        claims: Json = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer}
        claims |= {"iat": now, "exp": now + 60, "jti": secrets.token_hex(16)}
        sent = {"client_assertion_type": JWT_BEARER, "client_assertion": sign(claims, self.sig)}
        body = urlencode(members | sent).encode()
        return self.call("POST", path, body, Content_Type="application/x-www-form-urlencoded")

    def api(self, method: str, path: str, scope: str, sent: Json | None = None) -> tuple[int, Json]:
        status, token = self.form("/token", grant_type="client_credentials", scope=scope)
        assert status == 200, token
        body = b"" if sent is None else json.dumps(sent).encode()
        bearer = f"Bearer {token['access_token']}"
        return self.call(method, path, body, Authorization=bearer, Content_Type="application/json")

    # -- joining ---------------------------------------------------------------------------------

    def join(self, link: str) -> Json:
        """Compare the pins, and register with the key of the invitation."""
        at, _, fragment = link.partition("#")
        said = dict(parse_qsl(fragment))
        assert said["v"] == "1"
        self.issuer, self.person = at.removesuffix("/join"), said["p"]
        _, found = self.call("GET", "/.well-known/openid-configuration")
        assert found["issuer"] == self.issuer
        assert "1" in found["borrow_profile_versions_supported"]
        self.minter = found["borrow_minter_jwks"]["keys"]
        sig, enc = (thumb(self._of_minter(use)) for use in ("sig", "enc"))
        assert b64(hashlib.sha256(f"{sig}.{enc}".encode()).digest()) == said["m"]
        _, keys = self.call("GET", "/jwks")
        self.approver = [each for each in keys["keys"] if thumb(each) == said["a"]]
        assert self.approver
        now = int(self.clock())
        scalar = int.from_bytes(unb64(said["k"]))
        listed = [
            jwk_of(self.sig.public_key()) | {"use": "sig"},
            jwk_of(self.enc.public_key()) | {"use": "enc"},
        ]
        claims: Json = {"aud": self.issuer, "sub": self.person, "iat": now, "exp": now + 300}
        claims |= {"jti": secrets.token_hex(16), "device_name": "by the page"}
        key = ec.derive_private_key(scalar, ec.SECP256R1())
        token = sign(claims | {"jwks": {"keys": listed}}, key, typ="borrow-software+jwt")
        sent = json.dumps({"software_statement": token}).encode()
        status, told = self.call("POST", "/register", sent, Content_Type="application/json")
        assert (status, told["borrow_owner"]) == (201, self.person), told
        self.client_id = told["client_id"]
        return told

    def _of_minter(self, use: str) -> Json:
        (found,) = [each for each in self.minter if each["use"] == use]
        return found

    # -- borrowing -------------------------------------------------------------------------------

    def ask(self, role: str, arn: str, *, reason: str = "", **more: Any) -> tuple[int, Json]:
        claims = self.claims(role, arn, reason=reason) | more
        return self.form("/bc-authorize", request=sign(claims, self.sig, typ="oauth-authz-req+jwt"))

    def claims(self, role: str, arn: str, *, reason: str = "") -> Json:
        now = int(self.clock())
        return {
            "iss": self.client_id,
            "aud": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": secrets.token_urlsafe(16),
            "scope": "openid",
            "login_hint": self.person,
            "binding_message": "by-page",
            "borrow_number": f"{secrets.randbelow(1000):03}",
            "authorization_details": [
                {"type": "aws_role", "identifier": role, "arn": arn, "duration": 1800}
                | ({"justification": reason} if reason else {})
            ],
            "request_context": {"via": "cli", "host": "lab", "group": "one"},
        }

    def poll(self, auth_req_id: str) -> tuple[int, Json]:
        return self.form("/token", grant_type=CIBA, auth_req_id=auth_req_id)

    def credentials(self, grant_token: str, role: str) -> Json:
        status, told = self.form(
            "/token",
            grant_type=EXCHANGE,
            subject_token=grant_token,
            subject_token_type="urn:ietf:params:oauth:token-type:access_token",
            resource=role,
            requested_token_type="urn:borrow:token-type:credentials",
        )
        assert (status, told["token_type"]) == (200, "N_A"), told
        inner = opened(told["access_token"], self.enc, "borrow-creds+jwe").decode()
        said: Json = json.loads(verified(inner, [self._of_minter("sig")], "borrow-creds+jwt"))
        assert (said["iss"], said["aud"], said["role"]) == (self.issuer, self.client_id, role)
        return said

    def events(self, *acks: str) -> dict[str, Json]:
        sent = {"ack": list(acks), "returnImmediately": True}
        status, told = self.api("POST", "/events", "events", sent)
        assert status == 200, told
        return {
            jti: json.loads(verified(token, self.approver, "secevent+jwt"))
            for jti, token in told["sets"].items()
        }

    # -- answering -------------------------------------------------------------------------------

    def statement(self, request: str, number: str = "") -> bytes:
        path = f"/decisions/{request}?decision=approve&number={number}&seconds=0"
        status, told = self.api("GET", path, "decide")
        assert status == 200, told
        return unb64(told["statement"])

    def say_yes(self, request: str, kind: str, token: str, data: bytes) -> tuple[int, Json]:
        sent: Json = {"decision": "approve", "statement": b64(data)}
        sent |= {"evidence": {"kind": kind, "token": token}}
        return self.api("POST", f"/decisions/{request}", "decide", sent)

    def approve(self, request: str, kind: str, number: str = "") -> tuple[int, Json]:
        """By this device's key: `device` or `consent`."""
        data = self.statement(request, number)
        token = sign(data, self.sig, typ="borrow-statement+jwt")
        return self.say_yes(request, kind, token, data)

    def tied(self, data: bytes, code: str) -> str:
        claims = {"statement_sha256": b64(hashlib.sha256(data).digest()), "code": code}
        inner = sign(claims, self.sig, typ="borrow-totp+jwt")
        return seal(inner, self._of_minter("enc"), "borrow-totp+jwe")

    def enrol_codes(self) -> str:
        """Their secret, in base 32."""
        status, told = self.api("POST", "/totp", "manage", {})
        assert status == 200, told
        secret = str(
            json.loads(opened(told["sealed"], self.enc, "borrow-totp-secret+jwe"))["secret"]
        )
        name = told["enrolment"]
        code = self.tied(name.encode(), code_at(secret, self.clock()))
        status, told = self.api("POST", f"/totp/{name}", "manage", {"code": code})
        assert status == 200, told
        return secret
