"""Which client is held how: the fingerprints of real SDKs."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from borrow.daemon.documents import explanation
from borrow.daemon.techniques import (
    DECIDE_WITHIN,
    DRIBBLE,
    NODE,
    NODE_IMDS,
    PATIENT,
    PLAIN,
    RUST_WAITS,
    farewell,
    last_words,
    status_of,
    technique_for,
    told,
)
from borrow.daemon.techniques import RUST as RUST_HELD
from borrow.protocol.errors import Misconfigured, Needs, Refused, Unavailable, Untrusted

Header = tuple[bytes, bytes]
BOTO: tuple[Header, ...] = ((b"Host", b"h"), (b"User-Agent", b"python-urllib3/2"))
GO: tuple[Header, ...] = ((b"Host", b"h"), (b"User-Agent", b"Go-http-client/1.1"))
TERRAFORM: tuple[Header, ...] = (
    (b"Host", b"h"),
    (b"User-Agent", b"APN/1.0 HashiCorp/1.0 Terraform/1.9"),
    (b"Amz-Sdk-Request", b"attempt=1"),
    (b"Accept-Encoding", b"gzip"),
)
JS: tuple[Header, ...] = (
    (b"Authorization", b"t"),
    (b"Host", b"h"),
    (b"Connection", b"keep-alive"),
)
JS_IMDS: tuple[Header, ...] = ((b"x-aws-ec2-metadata-token", b"t"), *JS[1:])
JS_V2: tuple[Header, ...] = (
    (b"User-Agent", b"aws-sdk-nodejs/2.1693.0 linux/v20.20.2"),
    (b"Accept", b"application/json"),
    *JS,
)
OBJECT_STORE: tuple[Header, ...] = (
    (b"authorization", b"t"),
    (b"accept", b"*/*"),
    (b"user-agent", b"object_store/0.12.1"),
    (b"host", b"h"),
)
CRT: tuple[Header, ...] = (
    (b"Host", b"127.0.0.1"),
    (b"Authorization", b"t"),
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"aws-sdk-crt/ecs-credentials-provider"),
)
RUBY: tuple[Header, ...] = ((b"Host", b"h"), (b"User-Agent", b"Ruby"), (b"Accept", b"*/*"))
JAVA: tuple[Header, ...] = (
    (b"Authorization", b"t"),
    (b"User-Agent", b"aws-sdk-java/2.31.0"),
    (b"Host", b"h"),
    (b"Accept", b"text/html, image/gif, image/jpeg, */*; q=0.2"),
    (b"Connection", b"keep-alive"),
)
RUST: tuple[Header, ...] = (
    (b"accept", b"application/json"),
    (b"authorization", b"t"),
    (b"host", b"h"),
)
LIKE_RUST = {
    "an agent that says Rust": (*RUST, (b"user-agent", b"aws-sdk-rust/1.3.15 os/linux")),
    "another Rust program": ((b"accept", b"*/*"), *RUST[1:]),
    "one header more": (*RUST, (b"connection", b"keep-alive")),
    "one header twice": (*RUST, (b"accept", b"application/json")),
    "without the bearer": (RUST[0], RUST[2]),
    "names in capitals": tuple((name.title(), value) for name, value in RUST),
}


@pytest.mark.parametrize(
    ("headers", "technique"),
    [
        (BOTO, DRIBBLE),
        (RUBY, DRIBBLE),
        (JAVA, DRIBBLE),
        (GO, PATIENT),
        (((b"User-Agent", b"aws-sdk-go/1.55.8 (go1.26.8; linux; amd64)"),), PATIENT),
        ((*GO, (b"Amz-Sdk-Request", b"attempt=1; max=3")), PLAIN),
        (TERRAFORM, PLAIN),
        (OBJECT_STORE, PLAIN),
        (CRT, DRIBBLE),
        ((), DRIBBLE),
    ],
)
def test_everybody_is_dribbled_to_but_go_and_object_store(
    headers: tuple[Header, ...], technique: object
) -> None:
    assert technique_for(headers) == technique


@pytest.mark.parametrize("headers", [JS, JS[1:], JS_V2])
def test_node_is_dribbled_to_and_known_to_be_deaf(headers: tuple[Header, ...]) -> None:
    assert technique_for(headers) == NODE


def test_nodes_imds_clients_are_given_no_document_that_is_none() -> None:
    assert technique_for(JS_IMDS) == NODE_IMDS
    assert last_words(Refused("no", state="denied"), NODE_IMDS) == b" "
    assert last_words(b"{}", NODE_IMDS) == b"{}"


@pytest.mark.parametrize("more", [(b"User-Agent", b"x"), (b"Accept", b"*/*"), (b"host", b"h")])
def test_what_sends_one_header_more_than_node_is_not_node(more: Header) -> None:
    assert technique_for((*JS, more)) == DRIBBLE


def test_an_open_answer_ends_with_words_only_for_those_who_must_have_them() -> None:
    no = Refused("no", state="denied")
    assert last_words(no, DRIBBLE) is None
    for technique in (NODE, RUST_HELD):
        told_last = json.loads(last_words(no, technique) or b"")
        assert (told_last["Message"], told_last["Expiration"]) == ("no", "never")
        assert last_words(b"{}", technique) == b"{}"
    assert told(no, NODE)[0] == 403  # nothing of it was sent yet: the true status


def test_only_who_is_deaf_hears_that_the_daemon_stops() -> None:
    assert b"the daemon was stopped" in farewell(NODE)
    assert farewell(NODE).endswith(b"0\r\n\r\n")
    assert [farewell(one) for one in (DRIBBLE, PLAIN, RUST_HELD)] == [b"", b"", b""]


def test_go_without_an_attempt_hears_spaces_before_it_gives_up() -> None:
    assert PATIENT.dribble
    assert DECIDE_WITHIN < PATIENT.opens < 60  # minio-go's wait for a first byte


def test_rust_is_cut_before_it_gives_up_by_itself() -> None:
    assert technique_for(RUST).limit == RUST_WAITS


def test_only_rust_is_told_a_refusal_in_a_200() -> None:
    assert technique_for(RUST).explain
    assert not any(technique_for(one).explain for one in (BOTO, JS, RUBY, JAVA, GO, TERRAFORM, ()))


@pytest.mark.parametrize("headers", LIKE_RUST.values(), ids=list(LIKE_RUST))
def test_what_only_looks_like_rust_is_told_no_refusal_in_a_200(headers: tuple[Header, ...]) -> None:
    assert not technique_for(headers).explain


def test_a_refusal_in_a_200_cannot_be_read_as_credentials() -> None:
    told = explanation(Refused("no", state="denied"), 403)
    assert (told["Code"], told["Message"]) == ("AccessDenied", "no")  # what Rust shows
    secrets = {"accesskeyid", "secretaccesskey", "token", "sessiontoken"}
    assert not secrets & {name.lower() for name in told}
    with pytest.raises(ValueError, match="never"):
        datetime.fromisoformat(told["Expiration"])  # nor is it "unlimited" for a lenient reader


def test_every_kind_of_error_has_its_status() -> None:
    assert status_of(Refused("no")) == 403
    assert status_of(Unavailable("away")) == 503
    assert status_of(Misconfigured("wrong")) == 503
    assert status_of(Untrusted("odd")) == 502
    assert status_of(Needs("more", fields={})) == 503
