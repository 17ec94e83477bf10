"""docs/protocol.md is enough to write a device from: one that was talks to our server.

And the same device telling lies, for what a library of ours would never put on the wire.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.by_the_page import (
    PageDevice,
    b64,
    code_at,
    jwk_of,
    sign,
    signed_as,
    thumb,
    verified,
)
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, ROLES, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Join = Callable[[str], Awaitable[PageDevice]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock)
    await front.open()
    yield front
    await front.close()


@pytest.fixture
def join(desk: FrontDesk, clock: Clock) -> Join:
    async def joined(person: str) -> PageDevice:
        told = (await desk.admin("POST", "/admin/invite", {"person": person})).ok()
        device = PageDevice(clock)
        await asyncio.to_thread(device.join, told["url"])
        return device

    return joined


async def test_it_joins_asks_and_opens_what_policy_gives(join: Join) -> None:
    ann = await join(ANN)

    def story() -> None:
        _, asked = ann.ask("dev-read", ROLES["dev-read"])
        status, granted = ann.poll(asked["auth_req_id"])
        assert (status, granted["token_type"]) == (200, "Bearer")
        said = json.loads(verified(granted["id_token"], ann.approver, "JWT"))
        assert (said["aud"], said["sub"], said["acr"]) == (
            ann.client_id,
            ANN,
            "urn:borrow:acr:auto",
        )
        assert said["urn:openid:params:jwt:claim:auth_req_id"] == asked["auth_req_id"]
        opened = ann.credentials(granted["access_token"], "dev-read")
        assert opened["arn"] == ROLES["dev-read"]
        assert opened["grant_id"] == granted["grant_id"]
        assert opened["credentials"]["access_key_id"]
        assert ann.form("/revoke", token=granted["access_token"])[0] == 200
        told = ann.events()
        kinds = [event["events"]["urn:borrow:event:notice"]["kind"] for event in told.values()]
        assert {"grant_opened", "grant_released"} <= set(kinds)
        assert ann.events(*told) == {}

    await asyncio.to_thread(story)


async def test_two_of_them_answer_each_other(join: Join) -> None:
    ann, bea = await join(ANN), await join(BEA)

    def story() -> None:
        _, asked = ann.ask("prod-admin", ROLES["prod-admin"], reason="INC-7")
        name = asked["borrow_request"]
        _, seen = bea.api("GET", f"/decisions/{name}", "decide")
        head, body, _ = seen["signed"].split(".")
        assert b64(hashlib.sha256(f"{head}.{body}".encode()).digest()) == seen["request_hash"]
        status, told = ann.api("GET", f"/decisions/{name}?decision=approve", "decide")
        assert (status, told["borrow_state"]) == (403, "self_approval")
        status, told = bea.approve(name, "device", asked["borrow_number"])
        assert (status, told["state"]) == (200, "approved")
        record = json.loads(verified(told["record"], ann.minter, "borrow-decision+jwt"))
        assert record["method"] == "device"
        _, granted = ann.poll(asked["auth_req_id"])
        assert ann.credentials(granted["access_token"], "prod-admin")["role"] == "prod-admin"
        hint = "urn:borrow:grant_id"
        assert ann.form("/revoke", token=granted["grant_id"], token_type_hint=hint)[0] == 200

    await asyncio.to_thread(story)


async def test_it_proves_its_person_with_a_code(join: Join, clock: Clock) -> None:
    ann = await join(ANN)

    def story() -> None:
        secret = ann.enrol_codes()
        clock.advance(60)
        status, told = ann.ask("dev-write", ROLES["dev-write"])
        assert (status, told["borrow_state"], list(told["borrow_needs"])) == (
            400,
            "needs",
            ["reason"],
        )
        _, asked = ann.ask("dev-write", ROLES["dev-write"], reason="a good reason")
        name = asked["borrow_request"]
        data = ann.statement(name, asked["borrow_number"])
        token = ann.tied(data, code_at(secret, clock()))
        status, told = ann.say_yes(name, "totp", token, data)
        assert (status, told["state"]) == (200, "approved")
        assert ann.poll(asked["auth_req_id"])[0] == 200
        _, click = ann.ask("dev-click", ROLES["dev-click"])
        assert ann.approve(click["borrow_request"], "consent")[1]["state"] == "approved"
        hint = "urn:borrow:auth_req_id"
        assert ann.form("/revoke", token=click["auth_req_id"], token_type_hint=hint)[0] == 200
        assert ann.poll(click["auth_req_id"])[1]["borrow_state"] == "cancelled"

    await asyncio.to_thread(story)


def _lying(device: PageDevice, other: PageDevice, lie: str) -> str:
    """A request object that is good but for its `lie`."""
    good = {"alg": "ES256", "typ": "oauth-authz-req+jwt", "kid": thumb(_public(device))}
    headers: dict[str, dict[str, Any]] = {
        "none": {"alg": "none"},
        "hmac with the public key": {"alg": "HS256"},
        "another curve's name": {"alg": "ES384"},
        "an embedded key": {"jwk": _public(other)},
        "a key at an address": {"jku": "https://evil.example.com/jwks"},
        "a critical extension": {"crit": ["exp"]},
        "an unencoded payload": {"b64": False, "crit": ["b64"]},
        "compressed": {"zip": "DEF"},
        "another type": {"typ": "borrow-statement+jwt"},
        "a type in capitals": {"typ": "OAuth-AuthZ-Req+JWT"},
        "a type with a prefix": {"typ": "application/oauth-authz-req+jwt"},
        "another device's kid": {"kid": thumb(_public(other))},
        "no kid": {"kid": None},
        "a kid that is a path": {"kid": "../../dev/null"},
        "a kid that is a list": {"kid": [thumb(_public(device))]},
    }
    claims = true = json.dumps(device.claims("dev-read", ROLES["dev-read"]))
    head = json.dumps(good | headers.get(lie, {}))
    match lie:
        case "alg twice":
            head = head.replace("{", '{"alg": "none", ', 1)
        case "a claim twice":
            claims = claims.replace("{", '{"aud": "x", ', 1)
        case "not a number":
            claims = claims.replace('"duration": 1800', '"duration": NaN')
        case "a duration of 1e3":
            claims = claims.replace('"duration": 1800', '"duration": 1e3')
        case "a duration that is true":
            claims = claims.replace('"duration": 1800', '"duration": true')
        case "a duration before zero":
            claims = claims.replace('"duration": 1800', '"duration": -1')
        case "nested deeply":
            deep = '{"process": ' + '{"a":' * 20 + "1" + "}" * 20
            claims = claims.replace('"request_context": {', f'"request_context": {deep}, ')
        case "half a character":
            claims = claims.replace('"host": "lab"', '"host": "\\ud800"')
        case "an audience of two":
            claims = claims.replace(f'"aud": "{device.issuer}"', f'"aud": ["{device.issuer}", "x"]')
        case "an issuer with a slash":
            claims = claims.replace(f'"aud": "{device.issuer}"', f'"aud": "{device.issuer}/"')
        case "another person":
            claims = claims.replace(ANN, BEA)
        case "a member that nobody knows":
            claims = claims.replace("{", '{"sub": "x", ', 1)
        case "two roles":
            claims = claims.replace('}], "request_context"', '}, {}], "request_context"')
        case "another role's ARN":
            claims = claims.replace(ROLES["dev-read"], ROLES["prod-admin"])
        case "good for a day":
            claims = claims.replace('"exp": ', '"exp": 86400')
        case _:
            assert lie in headers or lie in AFTER
    assert claims != true or lie in headers or lie in AFTER or lie == "alg twice"
    token = signed_as(head, claims, device.sig)
    first, body, _ = token.split(".")
    match lie:
        case "none":
            return f"{first}.{body}."
        case "hmac with the public key":
            key = json.dumps(_public(device)).encode()
            return f"{first}.{body}.{b64(hmac.digest(key, f'{first}.{body}'.encode(), 'sha256'))}"
        case "signed by another device":
            return signed_as(head, claims, other.sig)
        case "another spelling of its bytes":
            return f"{token[:-1]}{chr(ord(token[-1]) + 1)}"
        case "a signature of zeros":
            return f"{first}.{body}.{b64(bytes(64))}"
        case "padding":
            return f"{token}=="
        case "five parts":
            return f"{token}.a.b"
        case "a space":
            return f" {token}"
        case _:
            return token


AFTER = (
    *("", "signed by another device", "another spelling of its bytes", "a signature of zeros"),
    *("padding", "five parts", "a space"),
)


def _public(device: PageDevice) -> dict[str, Any]:
    return jwk_of(device.sig.public_key())


LIES = (
    *("none", "hmac with the public key", "another curve's name", "an embedded key"),
    *("a key at an address", "a critical extension", "an unencoded payload", "compressed"),
    *("another type", "a type in capitals", "a type with a prefix", "another device's kid"),
    *("no kid", "a kid that is a path", "a kid that is a list", "alg twice", "a claim twice"),
    *("not a number", "a duration of 1e3", "a duration that is true", "a duration before zero"),
    *("nested deeply", "half a character", "an audience of two", "an issuer with a slash"),
    *("another person", "a member that nobody knows", "two roles", "another role's ARN"),
    *("good for a day", "signed by another device", "another spelling of its bytes"),
    *("a signature of zeros", "padding", "five parts", "a space"),
)


async def test_no_lie_on_the_wire_is_taken_and_each_is_the_callers_fault(join: Join) -> None:
    ann, bea = await join(ANN), await join(BEA)

    def story() -> None:
        for lie in LIES:
            status, told = ann.form("/bc-authorize", request=_lying(ann, bea, lie))
            assert 400 <= status < 500, (lie, status, told)
            assert told["error_description"], lie
        assert ann.form("/bc-authorize", request=_lying(ann, bea, ""))[0] == 200

    await asyncio.to_thread(story)


async def test_a_statement_serves_its_own_request_person_and_choice_only(join: Join) -> None:
    ann, bea = await join(ANN), await join(BEA)

    def story() -> None:
        asked = [
            ann.ask("prod-admin", ROLES["prod-admin"], request_context={"via": "cli", "group": g})[
                1
            ]
            for g in ("one", "two")
        ]
        first, second = (each["borrow_request"] for each in asked)
        data = bea.statement(first, asked[0]["borrow_number"])
        token = sign(data, bea.sig, typ="borrow-statement+jwt")
        by_ann = sign(data, ann.sig, typ="borrow-statement+jwt")
        shorter = data.replace(b'"duration": 1800', b'"duration": 1801')
        other = bea.statement(second, asked[1]["borrow_number"])
        swapped = data.replace(first.encode(), second.encode())
        tries = (
            (second, "device", token, data),  # moved to another request
            (second, "device", sign(swapped, bea.sig, typ="borrow-statement+jwt"), swapped),
            (first, "device", token, other),  # its evidence is over other bytes
            (first, "device", by_ann, data),  # by another person's device
            (first, "consent", token, data),  # as another kind
            (first, "passkey", token, data),
            (first, "totp", token, data),
            (first, "device", sign(data, bea.sig, typ="oauth-authz-req+jwt"), data),
            (first, "device", sign(shorter, bea.sig, typ="borrow-statement+jwt"), shorter),
        )
        for name, kind, proof, sent in tries:
            status, told = bea.say_yes(name, kind, proof, sent)
            assert 400 <= status < 500, (kind, status, told)
        assert ann.say_yes(first, "device", token, data)[1]["borrow_state"] == "self_approval"
        assert bea.say_yes(first, "device", token, data)[0] == 200
        assert bea.say_yes(first, "device", token, data)[1]["borrow_state"] == "wrong_state"

    await asyncio.to_thread(story)
