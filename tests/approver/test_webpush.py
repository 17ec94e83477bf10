"""Sealing by RFC 8291 and signing by RFC 8292, against their vectors and other people's code."""

from __future__ import annotations

import json

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from borrow.approver.channels.webpush import (
    BrowserKeys,
    headers_for,
    payload_of,
    public_point,
    seal,
)
from borrow.protocol.errors import Untrusted
from borrow.protocol.keys import new_key
from borrow_fakes.push_service import FakeBrowser, b64, unb64

# RFC 8291 Appendix A.
TEXT = b"When I grow up, I want to be a watermelon"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
    "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
    "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def private(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64(text)), ec.SECP256R1())


def test_the_vector_of_the_rfc() -> None:
    sealed = seal(TEXT, BrowserKeys(POINT, AUTH), ephemeral=private(SENDER), salt=unb64(SALT))
    assert b64(sealed) == BODY


def test_what_pywebpush_seals_and_what_we_seal_opens_in_the_same_browser() -> None:
    """An unrelated sender: the stand-in's browser is not made to fit ours."""
    from pywebpush import WebPusher

    browser = FakeBrowser("https://push.example.com/x", "x")
    info = {key: browser.to_json()[key] for key in ("endpoint", "keys")}
    theirs = WebPusher(info).encode(TEXT, content_encoding="aes128gcm")["body"]
    keys = BrowserKeys(**browser.to_json()["keys"])
    ours = seal(TEXT, keys, ephemeral=ec.generate_private_key(ec.SECP256R1()), salt=b"s" * 16)
    assert browser.open(bytes(theirs)) == browser.open(ours) == TEXT
    with pytest.raises(http_ece.ECEException):
        FakeBrowser("https://push.example.com/x", "x").open(ours)


def test_the_signature_holds_for_an_unrelated_verifier() -> None:
    from py_vapid import Vapid02

    key = new_key()
    headers = headers_for(
        "https://updates.push.example.com:443/wpush/v2/abc",
        vapid=key,
        contact="mailto:ops@example.com",
        now=1_764_000_000.0,
        ttl=90_000,
        urgency="high",
        topic="A" * 22,
    )
    assert Vapid02.verify(headers["Authorization"])
    token = headers["Authorization"].removeprefix("vapid t=").split(",")[0]
    assert json.loads(unb64(token.split(".")[1])) == {
        "aud": "https://updates.push.example.com",
        "exp": 1_764_000_000 + 12 * 3_600,
        "sub": "mailto:ops@example.com",
    }
    assert headers["TTL"] == "86400"
    assert len(unb64(public_point(key))) == 65


@pytest.mark.parametrize("kind", ["ask", "own", "grant", "alarm", "more", "withdraw", "test"])
def test_a_payload_has_at_most_64_bytes(kind: str) -> None:
    assert len(payload_of("A" * 22, kind, quiet=True)) <= 64


@pytest.mark.parametrize(
    ("point", "auth"),
    [
        (POINT, AUTH[:-2]),
        (POINT[:-2], AUTH),
        (POINT[:-2] + "AA", AUTH),  # not on the curve
        ("B" + "A" * 86, AUTH),
        ("not base64!", AUTH),
        (POINT + "=", AUTH),
    ],
)
def test_keys_that_no_browser_makes_are_refused(point: str, auth: str) -> None:
    with pytest.raises(Untrusted):
        BrowserKeys(point, auth)


def test_secrets_do_not_print() -> None:
    assert AUTH not in repr(BrowserKeys(POINT, AUTH))
