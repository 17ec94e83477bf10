"""The rules about a request's head, one by one and together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.daemon.guard import RULES, Head, Refusal, inspect
from borrow_fakes.edge import Answer, running_edge

AUTHORITY = b"127.0.0.1:4711"
HOST = (b"host", AUTHORITY)


def head(
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    target: str = "/v1/credentials/x",
    version: tuple[int, int] = (1, 1),
) -> Head:
    return Head(method, target, version, headers)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_sdks_send_passes(method: str) -> None:
    request = head(
        HOST,
        (b"accept", b"application/json"),
        (b"authorization", b"x"),
        (b"user-agent", b"aws-sdk-java/2.0"),
        (b"x-aws-ec2-metadata-token-ttl-seconds", b"21600"),
        (b"accept-encoding", b"identity"),
        (b"amz-sdk-request", b"attempt=1"),
        (b"content-length", b"0"),
        (b"connection", b"keep-alive"),
        method=method,
    )
    assert inspect(request, AUTHORITY) is None


@pytest.mark.parametrize(
    ("request_head", "refusal"),
    [
        (head(), Refusal("host", 400)),
        (head(version=(1, 0)), Refusal("host", 403)),
        (head(HOST, HOST), Refusal("host", 400)),
        (head(HOST, HOST, version=(1, 0)), Refusal("host", 400)),
        (head((b"host", AUTHORITY + b" ")), Refusal("host", 403)),
        (head((b"host", b"localhost:4711")), Refusal("host", 403)),
        (head(HOST, version=(1, 0)), Refusal("version", 403)),
        (head(HOST, version=(2, 0)), Refusal("version", 403)),
        (head(HOST, target="http://127.0.0.1:4711/"), Refusal("target", 400)),
        (head(HOST, target="*", method="OPTIONS"), Refusal("target", 400)),
        (head(HOST, target=""), Refusal("target", 400)),
        (head(HOST, target="//evil/"), Refusal("target", 400)),
        (head(HOST, target="/\\evil"), Refusal("target", 400)),
        (head(HOST, target="/a#b"), Refusal("target", 400)),
        (head(HOST, target="/a\x00b"), Refusal("target", 400)),
        (head(HOST, target="/é"), Refusal("target", 400)),
        (head(HOST, (b"origin", b"null")), Refusal("browser", 403)),
        (head(HOST, (b"sec-ch-ua", b"x")), Refusal("browser", 403)),
        (head(HOST, (b"sec-websocket-key", b"x")), Refusal("browser", 403)),
        (head(HOST, (b"x-forwarded-proto", b"")), Refusal("proxied", 403)),
        (head(HOST, (b"proxy-authorization", b"x")), Refusal("proxied", 403)),
        (head(HOST, method="POST"), Refusal("method", 405)),
        (head(HOST, method="HEAD"), Refusal("method", 405)),
        (head(HOST, method="get"), Refusal("method", 405)),
    ],
)
def test_each_odd_head_gets_its_own_word(request_head: Head, refusal: Refusal) -> None:
    assert inspect(request_head, AUTHORITY) == refusal


def test_a_guard_without_rules_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        inspect(head(HOST), AUTHORITY, ())


@given(
    st.builds(
        Head,
        method=st.text(max_size=8),
        target=st.text(max_size=30),
        version=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        headers=st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20))).map(tuple),
    )
)
def test_nothing_but_one_exact_host_ever_passes(request_head: Head) -> None:
    if request_head.values(b"host") != [AUTHORITY]:
        assert inspect(request_head, AUTHORITY) is not None


@given(st.sampled_from([b"127.0.0.1", b"127.0.0.1:80", b"localhost", b"[::1]", b"", b"127.0.0.1:"]))
def test_the_bare_address_passes_only_where_a_bearer_is_needed(host: bytes) -> None:
    for target in ("/v1/credentials/reader", "/latest/api/token", "/", "/v1/credentials"):
        asked = head((b"host", host), target=target)
        may_pass = host == b"127.0.0.1" and target == "/v1/credentials/reader"
        assert (inspect(asked, AUTHORITY) is None) == may_pass


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=10), st.sampled_from(RULES))
def test_a_refusal_says_nothing_of_the_request(name: bytes, value: bytes, rule: object) -> None:
    refusal = inspect(head((name.lower(), value)), AUTHORITY)
    assert refusal is not None
    assert refusal.reason in {"target", "host", "version", "browser", "proxied", "method"}


async def test_a_missing_route_is_guarded_and_answers_in_the_same_shape() -> None:
    async with running_edge() as edge:
        missing = await edge.get(target="/no/such/route")
        assert (missing.status, missing.body) == (404, b'{"error": "not_found"}')
        foreign = await edge.get("Origin: https://evil.example.com", target="/no/such/route")
        assert (foreign.status, foreign.error) == (403, "browser")
        assert edge.rejected == ["not_found", "browser"]


async def test_a_known_route_with_another_method_answers_in_the_same_shape() -> None:
    async with running_edge() as edge:
        answer = Answer.parse(await edge.ask(edge.head(method="PUT")))
        assert (answer.status, answer.error, answer.headers["allow"]) == (405, "method", "GET")
        answer = Answer.parse(await edge.ask(edge.head(method="DELETE")))
        assert (answer.status, answer.error, answer.headers["allow"]) == (405, "method", "GET, PUT")


async def test_a_refused_connection_is_closed() -> None:
    async with running_edge() as edge:
        answer = await edge.get("Origin: https://evil.example.com")
        assert answer.headers["connection"] == "close"
