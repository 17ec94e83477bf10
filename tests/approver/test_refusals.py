"""Every malformed, forged or misplaced thing on the wire, each refused by its own answer.

Nothing here changes anything, so one approver serves the whole module.
"""

from __future__ import annotations

import gzip
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from joserfc import jws
from joserfc.jwk import OctKey

from borrow.protocol.assertion import TYPE_URN
from borrow.protocol.jose import sign
from borrow.protocol.keys import new_key, thumbprint
from borrow.protocol.oauth import GRANT_CLIENT_CREDENTIALS
from borrow.protocol.request import sign_request
from borrow.protocol.strict import b64url
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.front_desk import Answer, Client

pytestmark = pytest.mark.asyncio(loop_scope="module")
TYP = "client-authentication+jwt"
REQUEST_TYP = "oauth-authz-req+jwt"


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path_factory.mktemp("desk"), clock)
    await front.open()
    yield front
    await front.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(desk: FrontDesk) -> Client:
    return await desk.join(ANN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bea(desk: FrontDesk) -> Client:
    return await desk.join(BEA)


def claims_of(client: Client, **changes: Any) -> dict[str, Any]:
    now = int(client.clock())
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.device.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(18),
    }
    return claims | changes


async def with_assertion(client: Client, token: str, **members: str) -> Answer:
    form = {
        "client_assertion_type": TYPE_URN,
        "client_assertion": token,
        "grant_type": "client_credentials",
        "scope": "catalogue",
    }
    return await client.send("POST", "/token", data=form | members)


@pytest.mark.parametrize("typ", [TYP, "JWT"])
async def test_an_assertion_of_either_type_is_good(ann: Client, typ: str) -> None:
    token = sign(claims_of(ann), ann.device.sig, typ)
    assert (await with_assertion(ann, token)).status == 200


async def test_an_assertion_without_type_is_good(ann: Client) -> None:
    header = {"alg": "ES256", "kid": thumbprint(ann.device.sig)}
    token = jws.serialize_compact(header, _json(claims_of(ann)), ann.device.sig, ["ES256"])
    assert (await with_assertion(ann, token)).status == 200


async def test_an_assertion_counts_once(ann: Client) -> None:
    token = sign(claims_of(ann), ann.device.sig, TYP)
    assert (await with_assertion(ann, token)).status == 200
    again = await with_assertion(ann, token)
    assert (again.status, again.error) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("aud", "https://other.example.com"),
        ("aud", ["{issuer}"]),
        ("aud", "{issuer}/token"),
        ("iss", "d-01jv0000000000000000000000"),
        ("sub", "d-01jv0000000000000000000000"),
        ("jti", ""),
        ("jti", 7),
        ("exp", None),
        ("exp", 1e300),
        ("iat", "now"),
    ],
)
async def test_a_wrong_claim_is_refused(ann: Client, member: str, value: Any) -> None:
    if isinstance(value, str):
        value = value.replace("{issuer}", ann.device.issuer)
    if isinstance(value, list):
        value = [ann.device.issuer]
    token = sign(claims_of(ann, **{member: value}), ann.device.sig, TYP)
    answer = await with_assertion(ann, token)
    assert (answer.status, answer.error) == (401, "invalid_client")


@pytest.mark.parametrize("typ", ["oauth-authz-req+jwt", "secevent+jwt", "borrow-statement+jwt"])
async def test_a_token_of_another_purpose_is_refused(ann: Client, typ: str) -> None:
    token = sign(claims_of(ann), ann.device.sig, typ)
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_another_algorithm_is_refused(ann: Client) -> None:
    secret = OctKey.import_key(secrets.token_bytes(32))
    header = {"alg": "HS256", "typ": TYP, "kid": thumbprint(ann.device.sig)}
    token = jws.serialize_compact(header, _json(claims_of(ann)), secret, ["HS256"])
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_another_key_is_refused(ann: Client) -> None:
    token = sign(claims_of(ann), new_key(), TYP)
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_one_client_cannot_speak_as_another(ann: Client, bea: Client) -> None:
    mine = sign(claims_of(bea), bea.device.sig, TYP)
    answer = await with_assertion(ann, mine, client_id=ann.client_id)
    assert (answer.status, answer.error) == (401, "invalid_client")
    forged = sign(claims_of(ann), bea.device.sig, TYP)
    assert (await with_assertion(ann, forged)).error == "invalid_client"


async def test_another_way_of_authentication_is_refused(ann: Client) -> None:
    form = {"grant_type": "client_credentials", "client_id": ann.client_id, "client_secret": "x"}
    answer = await ann.send("POST", "/token", data=form)
    assert answer.status == 400
    assert answer.error == "invalid_request"


@pytest.mark.parametrize("off", [-400.0, 61.0, 3600.0, -3600.0])
async def test_a_wrong_clock_is_told_both_times(ann: Client, clock: Clock, off: float) -> None:
    clock.advance(off)
    token = sign(claims_of(ann), ann.device.sig, TYP)
    clock.advance(-off)
    answer = await with_assertion(ann, token)
    assert (answer.status, answer.state) == (401, "clock_skew")
    assert answer.body["error_description"].count("Z") == 2
    assert "Date" in answer.headers


async def test_a_clock_within_a_minute_will_do(ann: Client, clock: Clock) -> None:
    clock.advance(59)
    token = sign(claims_of(ann), ann.device.sig, TYP)
    clock.advance(-59)
    assert (await with_assertion(ann, token)).status == 200


@pytest.mark.parametrize(
    "head", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x" + "y" * 300, "Bearer é"]
)
async def test_what_is_no_token_opens_nothing(ann: Client, head: str) -> None:
    answer = await ann.send("GET", "/catalogue", headers={"Authorization": head})
    assert (answer.status, answer.state) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def _json(claims: dict[str, Any]) -> bytes:
    return json.dumps(claims).encode()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("aud", "https://other.example.com"),
        ("aud", ["{issuer}"]),
        ("iss", "d-01jv0000000000000000000000"),
        ("login_hint", "bea@example.com"),
        ("scope", "openid email"),
        ("sub", "ann@example.com"),
        ("jti", "short"),
        ("borrow_number", "12"),
        ("binding_message", "<b>hi</b>"),
        ("authorization_details", []),
        ("exp", 2**40),
        ("nbf", None),
    ],
)
async def test_a_wrong_member_is_refused(ann: Client, member: str, value: Any) -> None:
    claims = ann.device.request(ann.clock()).to_claims()
    claims[member] = [ann.device.issuer] if isinstance(value, list) and value else value
    answer = await ann.form("/bc-authorize", request=sign(claims, ann.device.sig, REQUEST_TYP))
    assert answer.status == 400
    if member == "login_hint":
        assert answer.error == "unknown_user_id"


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt", "OAUTH-AUTHZ-REQ+JWT"])
async def test_another_type_of_token_is_no_request(ann: Client, typ: str) -> None:
    claims = ann.device.request(ann.clock()).to_claims()
    answer = await ann.form("/bc-authorize", request=sign(claims, ann.device.sig, typ))
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_another_devices_request_is_refused(ann: Client, bea: Client) -> None:
    assert (await bea.form("/bc-authorize", request=ann.signed())).status == 400
    forged = sign_request(ann.device.request(ann.clock()), bea.device.sig)
    assert (await ann.form("/bc-authorize", request=forged)).status == 400


async def test_a_request_of_another_time_is_told_both_times(ann: Client, clock: Clock) -> None:
    clock.advance(3600)
    signed = ann.signed("dev-read")
    clock.advance(-3600)
    answer = await ann.form("/bc-authorize", request=signed)
    assert (answer.status, answer.state) == (401, "clock_skew")
    assert answer.body["error_description"].count("Z") == 2


@pytest.mark.parametrize("extra", ["scope", "login_hint", "binding_message", "acr_values"])
async def test_anything_beside_the_request_is_refused(ann: Client, extra: str) -> None:
    answer = await ann.form("/bc-authorize", request=ann.signed("dev-read"), **{extra: "x"})
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_a_body_in_disguise_is_refused(ann: Client) -> None:
    """A small body that becomes a large one is not even unpacked."""
    body = gzip.compress(b"a" * (8 << 20))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await ann.send("POST", "/register", data=body, headers=headers)
    assert (answer.status, answer.state) == (415, "media_type")


@pytest.mark.parametrize(
    "body",
    [
        "[" * 60_000, '{"a":' * 9_000 + "1" + "}" * 9_000, '{"software_statement":1e999}',
        '{"software_statement":' + "9" * 5_000 + "}", "\xff", "null", '"x"',
        '{"software_statement":"\\ud800"}', '{"software_statement":"a","software_statement":"b"}',
    ],
)  # fmt: skip
async def test_json_of_another_kind_is_refused_without_an_echo(ann: Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await ann.send("POST", "/register", data=body.encode("latin-1"), headers=headers)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert body[:20] not in json.dumps(answer.body)


async def test_text_that_no_database_can_hold_is_refused_and_no_failure_of_ours(
    ann: Client,
) -> None:
    """Half a surrogate pair is a JSON string, and no UTF-8."""
    auth = {"client_assertion_type": TYPE_URN, "grant_type": GRANT_CLIENT_CREDENTIALS}
    claims = claims_of(ann, jti="\ud800" * 22)
    assertion = sign(claims, ann.device.sig, TYP)
    answer = await ann.send(
        "POST", "/token", data=auth | {"client_assertion": assertion, "scope": "events"}
    )
    assert (answer.status, answer.error) == (401, "invalid_client")
    polls: tuple[dict[str, Any], ...] = ({"ack": ["\ud800"]}, {"setErrs": {"\ud800": {}}})
    for poll in polls:
        answer = await ann.post("/events", poll | {"returnImmediately": True}, scope="events")
        assert (answer.status, answer.error) == (400, "invalid_request")
    header = b64url(json.dumps({"alg": "ES256", "kid": "\ud800"}).encode())
    answer = await ann.send("POST", "/register", json={"software_statement": f"{header}.e30.e30"})
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_a_member_named_twice_is_refused(ann: Client) -> None:
    pairs = [*ann.auth().items(), ("request", ann.signed()), ("request", ann.signed())]
    answer = await ann.send("POST", "/bc-authorize", data=pairs)
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_only_a_form_is_read(ann: Client) -> None:
    body = ann.auth() | {"request": ann.signed()}
    answer = await ann.send("POST", "/bc-authorize", json=body)
    assert (answer.status, answer.state) == (415, "media_type")


async def test_a_large_body_is_refused(ann: Client) -> None:
    answer = await ann.form("/bc-authorize", request="x" * 70_000)
    assert answer.status == 413
    assert answer.body["borrow_state"] == "body_too_large"


@pytest.mark.parametrize(
    "name",
    [
        "r-",
        "r-01JV0000000000000000000000",
        "%2e%2e%2fjwks",
        "r-%00",
        "d-01jv0000000000000000000000",
    ],
)
async def test_a_name_of_another_shape_is_not_there(ann: Client, name: str) -> None:
    for path in (f"/decisions/{name}", f"/requests/{name}"):
        assert (await ann.get(path, "decide catalogue")).status == 404
    assert (await ann.get("/decisions/r-01jv0000000000000000000000", "decide")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "maybe"},
        {"decision": "deny", "extra": 1},
        {"decision": "deny", "statement": "%%"},
        {"decision": "approve", "statement": "e30"},
        {"decision": "approve", "evidence": {"kind": "chat", "token": "x"}},
        {"decision": 7},
    ],
)
async def test_a_malformed_decision_changes_nothing(
    ann: Client, bea: Client, body: dict[str, object]
) -> None:
    name = (await ann.ask("prod-admin")).ok()["borrow_request"]
    assert (await bea.post(f"/decisions/{name}", body)).status == 400
    assert (await ann.get(f"/requests/{name}")).ok()["state"] == "pending"


@pytest.mark.parametrize(
    "query",
    [
        "?decision=maybe",
        "?number=417",
        "?decision=deny&decision=deny",
        "?x=1",
        "?decision=approve&seconds=-1",
        "?decision=approve&number=4170",
    ],
)
async def test_a_malformed_query_is_refused(ann: Client, bea: Client, query: str) -> None:
    name = (await ann.ask("prod-admin")).ok()["borrow_request"]
    assert (await bea.get(f"/decisions/{name}{query}", "decide")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"ack": "x"},
        {"ack": [1]},
        {"ack": ["x" * 129]},
        {"setErrs": []},
        {"maxEvents": -1},
        {"maxEvents": True},
        {"returnImmediately": "yes"},
        {"ack": ["x"] * 1001},
    ],
)
async def test_a_malformed_poll_is_refused(ann: Client, body: dict[str, Any]) -> None:
    answer = await ann.post("/events", body, scope="events")
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
async def test_no_other_method_is_served_and_no_origin_allowed(ann: Client, method: str) -> None:
    base, session = ann.device.issuer, ann.session
    headers = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
    async with session.request(method, f"{base}/token", headers=headers) as answer:
        assert answer.status == 405
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("name", ["subject_token_type", "requested_token_type"])
async def test_another_type_of_token_is_refused(ann: Client, name: str) -> None:
    granted = await ann.borrow("dev-read")
    answer = await ann.exchange(granted["access_token"], "dev-read", **{name: "urn:other"})
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_revoking_what_is_nothing_here_is_answered_as_done(ann: Client) -> None:
    assert (await ann.form("/revoke", token="never-issued")).status == 200


async def test_an_unknown_grant_type_is_said(ann: Client) -> None:
    answer = await ann.form("/token", grant_type="password")
    assert (answer.status, answer.error) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("scope", ["root", "decide root", "decide  events"])
async def test_an_unknown_scope_is_refused(ann: Client, scope: str) -> None:
    answer = await ann.form("/token", grant_type=GRANT_CLIENT_CREDENTIALS, scope=scope)
    assert (answer.status, answer.error) == (400, "invalid_scope")
