"""How one approver is set up. Read once, at the start, into one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003  dataclasses read annotations
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path  # noqa: TC003  dataclasses read annotations
from urllib.parse import urlsplit

from borrow.approver.channels.ways import Ways  # noqa: TC001  dataclasses read annotations
from borrow.protocol.errors import Misconfigured
from borrow.protocol.oauth import LONG_POLL

Network = IPv4Network | IPv6Network
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _nobody() -> tuple[str, ...]:
    return ()


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ApproverSettings:
    """`issuer` is A: https, unless it is on the loopback. Seconds everywhere.

    `admins` is asked each time, because the policy file that names them may change while we run.
    """

    issuer: str
    db: Path
    public_url: str = ""  # where people open the pages; without it, the issuer's own origin
    trusted_proxies: tuple[str, ...] = ()  # networks whose X-Forwarded-For is believed
    webhooks: tuple[str, ...] = ()
    push_contact: str = ""  # mailto: or https:, for the operators of push services
    push_allow_hosts: tuple[str, ...] = ()  # `host` or `host:port`: may be sent to though private
    push_proxy: str = field(default="", repr=False)  # for all other hosts; "" is none
    channels: Mapping[str, Ways] = field(default_factory=dict)  # person -> ways beside Web Push
    deciders: Callable[[], tuple[str, ...]] = _nobody  # who may have to answer, asked each time
    critical: Callable[[], tuple[str, ...]] = _nobody  # … and needs a passkey and a device for it
    admins: Callable[[], tuple[str, ...]] = _nobody
    trouble: Callable[[], str] = _nothing  # why the policy file as it is now is not in use
    long_poll: float = LONG_POLL  # how long /token and /events may be held
    sweep_every: float = 1.0
    access_token_life: int = 300
    body_within: float = 15.0  # for all of a body to come
    interval: int = 1  # CIBA: the least seconds between two polls; never below 1
    max_waits: int = 20_000  # held calls in all: ~10 KB each
    calls_burst: int = 200  # calls of one device at once, and how many a second after that
    calls_rate: float = 20.0
    max_waits_each: int = 64  # held calls of one device; it needs one per pending request

    def __post_init__(self) -> None:
        _check_url("issuer", self.issuer)
        if self.issuer.endswith("/") or urlsplit(self.issuer).query:
            raise Misconfigured(
                "the issuer ends in / or has a query",
                hint="write it like https://borrow.example.com",
            )
        if self.public_url:
            _check_url("public_url", self.public_url)
        if self.push_contact and not self.push_contact.startswith(("mailto:", "https://")):
            raise Misconfigured("push_contact is no address", hint='"mailto:you@example.com"')
        if urlsplit(self.public_url).path.strip("/") or urlsplit(self.public_url).query:
            raise Misconfigured(
                "the public_url has a path", hint="write it like https://borrow.example.com"
            )
        networks_of(self.trusted_proxies)
        for url in self.webhooks:
            _check_url("webhook", url)
        if self.interval < 1:
            raise Misconfigured("the interval is below one second")

    @property
    def pages(self) -> str:
        """The address of the pages, without a slash at its end."""
        return (self.public_url or self.issuer).rstrip("/")

    def at_pages(self, link: str) -> str:
        """A link of an invitation as a phone opens it. What a device pins is the issuer's."""
        return link.replace(self.issuer, self.pages, 1)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the pages, as browsers write an origin."""
        return origin_of(self.pages)


def origin_of(url: str) -> str:
    """`https://Host:443/path` → `https://host` (RFC 6454 §6.2)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{named}" + (
        f":{parts.port}" if parts.port not in (None, usual) else ""
    )


def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Raises Misconfigured for what is neither an address nor a network."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError:
        raise Misconfigured(
            "trusted_proxies holds something that is no address",
            hint='write addresses or networks, like ["10.0.0.7", "10.1.0.0/24"]',
        ) from None


def _check_url(what: str, url: str) -> None:
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not secure or not parts.netloc or parts.username or parts.fragment:
        raise Misconfigured(
            f"the {what} is not an https address", hint="plain http is for the loopback only"
        )
