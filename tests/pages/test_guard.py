"""The rules around every page, without a server."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from borrow.approver.pages import guard
from borrow.approver.pages.routes.signin import within
from borrow.approver.settings import ApproverSettings, origin_of
from borrow.protocol.errors import Misconfigured, Refused

HOME = "https://borrow.example.com"


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": HOME},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": HOME},
    ],
)
def test_a_post_of_our_own_page_is_taken(sent: dict[str, str]) -> None:
    guard.check_post(sent, HOME)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": HOME},
        {"Sec-Fetch-Site": "same-site", "Origin": HOME},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": "http://borrow.example.com"},
        {"Origin": HOME + ":8443"},
        {"Origin": ""},
        {"Referer": HOME + "/"},
    ],
)
def test_a_post_of_anything_else_is_refused(sent: dict[str, str]) -> None:
    with pytest.raises(Refused, match="another site"):
        guard.check_post(sent, HOME)


def test_the_policy_allows_no_inline_script_and_no_frame() -> None:
    policy = guard.headers(HOME)["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "data:" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy


def test_https_is_kept_and_plain_http_is_not_promised() -> None:
    assert "Strict-Transport-Security" in guard.headers(HOME)
    assert "Strict-Transport-Security" not in guard.headers("http://localhost:8440")


def test_on_the_loopback_only_our_own_name_is_served() -> None:
    guard.check_host("localhost:8440", "http://localhost:8440")
    guard.check_host("anything.behind.a.proxy", HOME)
    for host in ("evil.example.com:8440", "127.0.0.1:8440", "localhost", "localhost:8441", ""):
        with pytest.raises(Refused, match="another address"):
            guard.check_host(host, "http://localhost:8440")


@pytest.mark.parametrize(
    ("origin", "work"),
    [
        (HOME, True),
        ("http://localhost:8440", True),
        ("http://127.0.0.1:8440", False),
        ("https://10.0.0.7", False),
        ("https://[2001:db8::1]", False),
        ("http://borrow.example.com", False),
    ],
)
def test_passkeys_need_a_name(origin: str, *, work: bool) -> None:
    assert guard.passkeys_work(origin) is work


PROXIES = (ip_network("10.0.0.0/24"), ip_network("::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # nobody's proxy: its word is nothing
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the caller wrote the first
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "not an address", "10.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("", "198.51.100.1", ""),
    ],
)
def test_a_forwarded_address_is_believed_from_trusted_proxies_only(
    peer: str, forwarded: str, seen: str
) -> None:
    assert guard.client_address(peer, forwarded, PROXIES) == seen


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example.com",
        "https://evil.example.com",
        "/\\evil",
        "/r/../x",
        "/mine?x",
        "javascript:1",
    ],
)
def test_signing_in_leads_to_pages_of_ours_only(to: str) -> None:
    assert within(to) == "/"


def test_signing_in_leads_on_to_the_page_that_was_wanted() -> None:
    path = "/r/r-01jv0000000000000000000000"
    assert within(path) == path
    assert within("/keys") == "/keys"


def test_an_origin_is_spelled_as_browsers_do() -> None:
    assert origin_of("https://Borrow.Example.com:443/") == HOME
    assert origin_of("http://localhost:80") == "http://localhost"
    assert origin_of("https://[2001:DB8::1]:8443") == "https://[2001:db8::1]:8443"


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("public_url", "http://borrow.example.com", "https"),
        ("public_url", "https://borrow.example.com/pages", "path"),
        ("public_url", "https://ann@borrow.example.com", "https"),
        ("trusted_proxies", ("proxy.example.com",), "trusted_proxies"),
        ("trusted_proxies", ("10.0.0.7/24",), "trusted_proxies"),
    ],
)
def test_settings_that_cannot_work_are_refused(key: str, value: object, why: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        ApproverSettings(issuer=HOME, db=None, **{key: value})  # type: ignore[arg-type]  # unused
    assert why in f"{caught.value} {caught.value.hint}"
