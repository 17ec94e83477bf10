"""Whatever answers at an invitation's address: it gets nothing, and a person reads what it is."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from borrow.cli import joining
from borrow.cli.doctor import _date
from borrow.cli.fetching import fetch
from borrow.protocol.enrolment import Invitation
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable, Untrusted
from borrow.protocol.keys import new_key, pair_pin, public_jwk, thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

A, M, M_ENC = new_key(), new_key(), new_key()
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def answering(make: Callable[[str], Sequence[bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """(address, what was sent): each connection gets the next answer, and the last one again.

    `make` is told the address.
    """
    sent: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        answers = make(address)

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed: the test is over
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        sent.append(connection.recv(65_536))
                        connection.sendall(answers[min(len(sent), len(answers)) - 1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield address, sent
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def refused(address: str) -> BorrowError:
    invitation = Invitation(
        address, "ann@example.com", thumbprint(A), pair_pin(M, M_ENC), new_key()
    )
    with pytest.raises(BorrowError) as caught:
        joining._check_pins(invitation)
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/9.9 \xff\xfe\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{",
        b"HTTP/1.1 302 Found\r\nLocation: //[\r\nContent-Length: 0\r\n\r\n",
        JSON + b"<html>sign in to the hotel's network</html>",
        JSON + b"[" * 100_000,
        JSON + b"null",
        JSON + b"{}",
        b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nTraceback",
    ],
    ids=[
        *("another protocol", "nothing", "half a head", "odd bytes", "a long line", "half a body"),
        *("a bad redirect", "a hotel", "nesting", "null", "nothing said", "a failure"),
    ],
)
def test_what_is_no_approver_is_named_and_gets_a_hint(answer: bytes) -> None:
    with answering(lambda _: [answer]) as (address, _):
        error = refused(address)
    assert isinstance(error, Unavailable)
    assert address.removeprefix("http://") in error.message
    assert error.hint


def test_a_redirect_is_followed_nowhere() -> None:
    """Not to plain http, not into the own network: the invitation vouches for one address."""
    with answering(lambda _: [JSON + b"{}"]) as (elsewhere, asked):
        away = (
            f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/x\r\nContent-Length: 0\r\n\r\n".encode()
        )
        with answering(lambda _: [away]) as (address, _):
            answer = fetch(f"{address}/jwks", within=5, most=100)
            assert answer.status == 302
            assert isinstance(refused(address), Unavailable)
    assert asked == []


def test_only_web_addresses_are_opened() -> None:
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://a b/", "http://[/"):
        with pytest.raises(Unavailable):
            fetch(url, within=1, most=10)


def discovery(address: str, **changes: Any) -> bytes:
    minter = {"keys": [public_jwk(M, "sig"), public_jwk(M_ENC, "enc")]}
    known = {"issuer": address, "borrow_minter_jwks": minter}
    known["borrow_profile_versions_supported"] = ["1"]
    return JSON + json.dumps(known | changes).encode()


@pytest.mark.parametrize("spoken", [["2"], [], "1", None], ids=str)
def test_a_server_of_another_version_is_not_joined(spoken: object) -> None:
    keys = JSON + json.dumps({"keys": [public_jwk(A, "sig")]}).encode()

    def make(address: str) -> list[bytes]:
        return [discovery(address, borrow_profile_versions_supported=spoken), keys]

    with answering(make) as (address, _):
        error = refused(address)
    assert isinstance(error, Misconfigured)
    assert "version" in error.message


def test_a_server_with_other_keys_is_not_joined_whatever_it_speaks() -> None:
    keys = JSON + json.dumps({"keys": [public_jwk(new_key(), "sig")]}).encode()
    with answering(lambda address: [discovery(address), keys]) as (address, _):
        assert isinstance(refused(address), Untrusted)


@pytest.mark.parametrize("text", ["", "x", "Tue, 24 Nov 99999999999999999999 10:00:00 GMT"])
def test_a_date_that_is_none_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Unavailable, match="no date"):
        _date(text)
