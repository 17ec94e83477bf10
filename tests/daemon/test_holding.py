"""Which client is held how: the fingerprints of real SDKs."""

from __future__ import annotations

import pytest

from borrow.daemon.holding import DRIBBLE, PLAIN, RUST_WAITS, status_of, technique_for
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
JS: tuple[Header, ...] = ((b"Host", b"h"), (b"Connection", b"keep-alive"))
RUBY: tuple[Header, ...] = ((b"Host", b"h"), (b"User-Agent", b"Ruby"), (b"Accept", b"*/*"))
RUST: tuple[Header, ...] = ((b"host", b"h"), (b"accept", b"application/json"))


@pytest.mark.parametrize(
    ("headers", "technique"),
    [
        (BOTO, DRIBBLE),
        (JS, DRIBBLE),
        (RUBY, DRIBBLE),
        (GO, PLAIN),
        (TERRAFORM, PLAIN),
        ((), DRIBBLE),
    ],
)
def test_everybody_is_dribbled_to_but_go(headers: tuple[Header, ...], technique: object) -> None:
    assert technique_for(headers) == technique


def test_rust_is_cut_before_it_gives_up_by_itself() -> None:
    assert technique_for(RUST).limit == RUST_WAITS


def test_only_rust_is_told_a_refusal_in_a_200() -> None:
    assert technique_for(RUST).explain
    assert not any(technique_for(one).explain for one in (BOTO, JS, RUBY, GO, TERRAFORM, ()))


def test_every_kind_of_error_has_its_status() -> None:
    assert status_of(Refused("no")) == 403
    assert status_of(Unavailable("away")) == 503
    assert status_of(Misconfigured("wrong")) == 503
    assert status_of(Untrusted("odd")) == 502
    assert status_of(Needs("more", fields={})) == 503
