"""What a phone will see of the approver's pages, looked at from where we are."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from borrow.cli.checks import Finding
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from borrow.cli.home import Home

WITHIN: Final = 10.0  # seconds for an answer
MOST: Final = 262_144  # bytes of one answer that are read


def pages_of(home: Home) -> str:
    """Where this person's pages are: on this machine in solo mode, else where the approver says."""
    if home.mode() == "solo":
        from borrow.cli.solopages import address, remembered

        port = remembered(home.state.path)
        if not port:
            raise Unavailable(
                "no port was free for the pages",
                hint="`borrow daemon stop`, then any command starts it again",
            )
        return address(port)
    issuer = str(home.config().get("issuer") or "")
    try:
        return _told(issuer)
    except (Unavailable, ValueError):
        raise Unavailable("the approver does not answer", hint="borrow doctor") from None


def look(issuer: str) -> Iterator[Finding]:
    """Nothing where the approver does not answer: that is another finding's."""
    from borrow.approver.pages.guard import passkeys_work
    from borrow.approver.settings import origin_of

    try:
        pages = _told(issuer)
    except (Unavailable, ValueError):
        return
    if not passkeys_work(origin_of(pages)):
        yield Finding(
            "warning",
            "pages",
            f"no passkeys at {pages}: browsers want https and a name, or localhost",
            "whoever runs the server sets public_url in server.toml",
        )
        return
    try:
        headers, _ = _get(f"{pages}/signin")
    except (Unavailable, ValueError):
        yield Finding(
            "warning", "pages", f"the pages at {pages} do not answer from here", "check public_url"
        )
        return
    yield _judged(pages, headers)


def _told(issuer: str) -> str:
    """Raises Unavailable if it does not answer, ValueError if it names no pages (an older one)."""
    _, found = _get(f"{issuer}/.well-known/openid-configuration")
    document = json.loads(found)
    pages = document.get("borrow_pages") if isinstance(document, dict) else None
    if not isinstance(pages, str) or not pages.startswith(("https://", "http://")):
        raise ValueError("it names no pages")
    return pages


def _judged(pages: str, headers: Mapping[str, str]) -> Finding:
    policy = headers.get("content-security-policy", "")
    if "frame-ancestors 'none'" not in policy:
        return Finding(
            "error",
            "pages",
            f"what answers at {pages} leaves out the pages' guards",
            "the proxy in front must pass Content-Security-Policy on",
        )
    return Finding("ok", "pages", f"the pages are at {pages}, and passkeys work there")


def _get(url: str) -> tuple[dict[str, str], bytes]:
    from borrow.cli.fetching import fetch

    answer = fetch(url, within=WITHIN, most=MOST)
    if answer.status != HTTPStatus.OK:
        raise Unavailable(f"it answers with status {answer.status}")
    return answer.headers, answer.body
