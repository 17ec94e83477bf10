"""One call to an approver, before or without a daemon: what came back, whatever answers there.

No redirect is followed: the address is what somebody vouched for, and another one is not. What is
no HTTP, or no answer, is `Unavailable`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from borrow.protocol.errors import Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


class Fetched(NamedTuple):
    """`headers` by their names in lower case; `body` is cut at what was allowed."""

    status: int
    headers: dict[str, str]
    body: bytes


def fetch(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    within: float,
    most: int,
) -> Fetched:
    """`within` seconds for each step; at most `most` bytes are read."""
    import http.client
    import urllib.error
    import urllib.request

    class _Stay(urllib.request.HTTPRedirectHandler):
        """Does not even read where a redirect leads."""

        @override
        def http_error_302(self, *_: object, **__: object) -> None:
            return None

        http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    try:
        request = urllib.request.Request(url, body, dict(headers or {}))  # noqa: S310  below
        if request.type not in ("https", "http"):
            raise ValueError("no web address")
        try:
            answer = urllib.request.build_opener(_Stay).open(request, timeout=within)
        except urllib.error.HTTPError as exc:
            answer = exc
        with answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Fetched(int(answer.status), found, answer.read(most))
    except (OSError, http.client.HTTPException, ValueError) as exc:  # OSError: TLS, time-outs, too
        cause = getattr(exc, "reason", exc)
        is_http = isinstance(exc, OSError)
        why = str(getattr(cause, "strerror", None) or ("no answer" if is_http else "it is no HTTP"))
        raise Unavailable(
            f"the server at {shown(_host(url), 80)} cannot be reached: {why.lower()}",
            hint="check the address and the network",
        ) from exc


def _host(url: str) -> str:
    """For people; also of what is no address."""
    return url.partition("//")[2].partition("/")[0] or url
