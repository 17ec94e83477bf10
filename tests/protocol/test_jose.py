"""The one door from a token to its payload, and everything that must not pass it (I8)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jws

from borrow.protocol.errors import BorrowError, Untrusted
from borrow.protocol.jose import check_times, seal, sign, signing_input_hash, unseal, verify
from borrow.protocol.keys import PublicKeys, new_key, thumbprint
from borrow.protocol.strict import b64url, parse_object

KEY, OTHER = new_key(), new_key()
KEYS = PublicKeys([KEY])
TYP = "x+jwt"


def raw(header: dict[str, Any] | str, payload: str = '{"a":1}', key: Any = KEY) -> str:
    """A token signed over exactly this header and payload, whatever they are."""
    import hashlib

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    head = header if isinstance(header, str) else json.dumps(header)
    signing_input = f"{b64url(head.encode())}.{b64url(payload.encode())}"
    private = key.private_key
    der = private.sign(
        hashlib.sha256(signing_input.encode()).digest(),
        ec.ECDSA(utils.Prehashed(hashes.SHA256())),
    )
    r, s = utils.decode_dss_signature(der)
    return f"{signing_input}.{b64url(r.to_bytes(32) + s.to_bytes(32))}"


def header(**changes: Any) -> dict[str, Any]:
    members = {"alg": "ES256", "typ": TYP, "kid": thumbprint(KEY)} | changes
    return {name: value for name, value in members.items() if value is not ...}


def test_what_was_signed_verifies() -> None:
    token = sign({"a": 1}, KEY, TYP)
    verified = verify(token, KEYS, TYP)
    assert verified.claims == {"a": 1}
    assert verified.kid == thumbprint(KEY)
    assert verified.signing_input_hash == signing_input_hash(token)


def test_the_helper_that_forges_tokens_makes_good_ones_too() -> None:
    assert verify(raw(header()), KEYS, TYP).claims == {"a": 1}


WRONG: dict[str, str] = {
    "other typ": raw(header(typ="y+jwt")),
    "no typ": raw(header(typ=...)),
    "typ of other case": raw(header(typ="X+JWT")),
    "typ is a list": raw(header(typ=[TYP])),
    "alg none": raw(header(alg="none")),
    "alg HS256": raw(header(alg="HS256")),
    "alg ES384": raw(header(alg="ES384")),
    "no alg": raw(header(alg=...)),
    "no kid": raw(header(kid=...)),
    "foreign kid": raw(header(kid=thumbprint(OTHER))),
    "kid of ours, signature of another": raw(header(), key=OTHER),
    "embedded jwk": raw(header(jwk=KEY.as_dict(private=False))),
    "jku": raw(header(jku="https://example.com/jwks")),
    "x5u": raw(header(x5u="https://example.com/x")),
    "crit": raw(header(crit=["exp"])),
    "b64 false": raw(header(b64=False)),
    "header member twice": raw(
        f'{{"alg":"ES256","alg":"ES256","typ":"{TYP}","kid":"{thumbprint(KEY)}"}}'
    ),
    "payload member twice": raw(header(), '{"a":1,"a":2}'),
    "payload NaN": raw(header(), '{"a":NaN}'),
    "payload Infinity": raw(header(), '{"a":1e999}'),
    "payload a list": raw(header(), "[1]"),
    "payload deep": raw(header(), '{"a":' * 17 + "1" + "}" * 17),
    "payload too large": raw(header(), json.dumps({"a": "x" * 16_384})),
    "payload not UTF-8 JSON": raw(header(), "nonsense"),
    "two parts": "a.b",
    "empty": "",
    "padding": sign({"a": 1}, KEY, TYP) + "=",
    "newline": sign({"a": 1}, KEY, TYP) + "\n",
    "no signature": sign({"a": 1}, KEY, TYP).rpartition(".")[0] + ".",
    "not ASCII": "é.é.é",
}


@pytest.mark.parametrize("token", WRONG.values(), ids=list(WRONG))
def test_a_bad_token_is_never_opened(token: str) -> None:
    with pytest.raises(Untrusted):
        verify(token, KEYS, TYP)


def test_a_signature_has_one_spelling() -> None:
    token = sign({"a": 1}, KEY, TYP)
    last = token[-1]
    twins = [
        c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if c != last
    ]
    for twin in twins:
        with pytest.raises(Untrusted):
            verify(token[:-1] + twin, KEYS, TYP)


def test_an_empty_key_set_is_an_error_and_not_a_pass() -> None:
    with pytest.raises(Untrusted):
        PublicKeys([])


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda b: b.decode("latin-1")))
def test_garbage_surfaces_only_as_untrusted(text: str) -> None:
    for attempt in (lambda: verify(text, KEYS, TYP), lambda: unseal(text, KEY, TYP)):
        with pytest.raises(Untrusted):
            attempt()


@settings(max_examples=60)
@given(st.data())
def test_one_flipped_character_is_refused(data: st.DataObject) -> None:
    token = sign({"a": 1, "b": "text"}, KEY, TYP)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("AZaz09-_.=+ "))
    changed = token[:at] + char + token[at + 1 :]
    if changed != token:
        with pytest.raises(Untrusted):
            verify(changed, KEYS, TYP)


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_for_its_key_alone(secret: bytes) -> None:
    sealed = seal(secret, KEY, TYP)
    if secret:
        assert unseal(sealed, KEY, TYP) == secret
    with pytest.raises(Untrusted):
        unseal(sealed, OTHER, TYP)
    with pytest.raises(Untrusted):
        unseal(sealed, KEY, "y+jwe")


def test_a_compressed_or_otherwise_sealed_message_is_refused() -> None:
    base = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": TYP, "kid": thumbprint(KEY)}
    algorithms = ["ECDH-ES", "ECDH-ES+A128KW", "A256GCM", "A128GCM", "DEF"]
    for change in ({"zip": "DEF"}, {"enc": "A128GCM"}, {"alg": "ECDH-ES+A128KW"}):
        token = jwe.encrypt_compact(base | change, b"secret", KEY, algorithms=algorithms)
        with pytest.raises(Untrusted):
            unseal(token, KEY, TYP)


NOW = 1_800_000_000


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": NOW + 61, "exp": NOW + 200},
        {"iat": NOW - 200, "exp": NOW - 60},
        {"iat": NOW, "exp": NOW + 301},
        {"iat": NOW, "exp": NOW},
        {"iat": float(NOW), "exp": NOW + 10},
        {"iat": str(NOW), "exp": NOW + 10},
        {"iat": True, "exp": NOW + 10},
        {"exp": NOW + 10},
        {"iat": NOW},
        {"iat": NOW, "exp": NOW + 10, "nbf": NOW + 100},
    ],
)
def test_a_token_outside_its_time_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(Untrusted):
        check_times(claims, NOW, longest=300)


def test_sixty_seconds_of_skew_are_allowed_either_way() -> None:
    check_times({"iat": NOW + 60, "exp": NOW + 300}, NOW, longest=300)
    check_times({"iat": NOW - 300, "exp": NOW - 59}, NOW, longest=300)


@given(st.text(max_size=200))
def test_parsing_json_raises_nothing_else(text: str) -> None:
    try:
        parse_object(text, "test")
    except BorrowError as error:
        assert isinstance(error, Untrusted)


def test_the_library_alone_would_have_let_these_through() -> None:
    """The reason this module exists: joserfc checks neither typ nor duplicate members."""
    for name in ("other typ", "payload member twice", "payload NaN"):
        assert jws.deserialize_compact(WRONG[name], KEY, algorithms=["ES256"]).payload
