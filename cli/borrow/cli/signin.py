"""The cloud's sign-in service: from a session's credentials to an address that signs a browser in.

Credentials go out in the body of one POST, to the configured address and nowhere else: no redirect
is followed, no error repeats what was sent. What comes back is a secret for some minutes.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from borrow.protocol.errors import Misconfigured, Refused, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage
    from typing import IO

    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


WITHIN: Final = 15.0  # seconds for the answer
_MAX_ANSWER: Final = 64 * 1024  # bytes
_SERVICE: Final = re.compile(r"[a-z0-9-]{1,40}")
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+){1,3}-[0-9]")


@dataclass(frozen=True, slots=True)
class Places:
    """Where one partition's sign-in service and console are."""

    signin: str
    console: str


PARTITIONS: Final = {
    "aws": Places("https://signin.aws.amazon.com/federation", "https://console.aws.amazon.com"),
    "aws-cn": Places("https://signin.amazonaws.cn/federation", "https://console.amazonaws.cn"),
    "aws-us-gov": Places(
        "https://signin.amazonaws-us-gov.com/federation", "https://console.amazonaws-us-gov.com"
    ),
}


def places_for(arn: str, signin_url: str, console_url: str) -> Places:
    """By the role's partition, unless the configuration names others."""
    usual = PARTITIONS.get(arn.split(":")[1] if arn.count(":") >= 5 else "aws")
    if usual is None and not (signin_url and console_url):
        raise Misconfigured(
            f"no sign-in service is known for {shown(arn.split(':')[1], 20)}",
            hint="name signin_url and console_url in cloud.toml",
        )
    found = Places(signin_url or usual.signin, console_url or usual.console) if usual else Places(
        signin_url, console_url
    )  # fmt: skip
    for name, url in (("signin_url", found.signin), ("console_url", found.console)):
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
        if not (parts.scheme == "https" or local) or not parts.hostname or parts.query:
            raise Misconfigured(f"{name} is no https address", hint="see cloud.toml")
    return found


def destination(places: Places, service: str, region: str) -> str:
    """The console's page of a service, or its first page."""
    if service and not _SERVICE.fullmatch(service):
        raise Misconfigured("that is no name of a service's page", hint="such as s3, ec2 or logs")
    if region and not _REGION.fullmatch(region):
        raise Misconfigured("that is no region", hint="such as eu-central-1")
    page = f"{places.console.rstrip('/')}/{service or 'console'}/home"
    return page + (f"?{urlencode({'region': region})}" if region else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def token(places: Places, document: Mapping[str, Any]) -> str:
    """A sign-in token for the session in a credential_process `document`.

    No duration is asked for: the console's session then ends with these credentials.
    """
    names = (("sessionId", "AccessKeyId"), ("sessionKey", "SecretAccessKey"),
             ("sessionToken", "SessionToken"))  # fmt: skip
    session = {ours: document.get(theirs) for ours, theirs in names}
    if not all(isinstance(value, str) and value for value in session.values()):
        raise Unavailable(
            "the daemon gave no whole credential", hint="`borrow daemon logs` may say why"
        )
    form = {"Action": "getSigninToken", "SessionType": "json", "Session": json.dumps(session)}
    request = urllib.request.Request(  # noqa: S310  `places_for` let https and loopback through
        places.signin, data=urlencode(form).encode(), method="POST"
    )
    host = shown(urlsplit(places.signin).hostname or "", 100)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=WITHIN) as answer:
            data = answer.read(_MAX_ANSWER)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise _refused(host, exc.code) from None  # its text may repeat what was sent
    except (OSError, ValueError):
        raise Unavailable(f"{host} does not answer", hint="check the network and proxies") from None
    return _read(host, data)


def _refused(host: str, status: int) -> Refused | Unavailable:
    if status >= 500:
        return Unavailable(f"{host} answered {status}", hint="try again in a moment")
    return Refused(
        f"{host} does not sign this role in (it answered {status})",
        hint="`borrow run ROLE -- aws sts get-caller-identity` shows whether the role works",
        state="signin_refused",
    )


def _read(host: str, data: bytes) -> str:
    try:
        found = json.loads(data)["SigninToken"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, str) or not re.fullmatch(r"[\x21-\x7e]{1,6000}", found):
        raise Unavailable(f"{host} gave no sign-in token", hint="try again in a moment")
    return found


def address(places: Places, signin_token: str, to: str) -> str:
    """Where the browser goes: it is signed in there and sent on to `to`."""
    query = {"Action": "login", "Issuer": "borrow", "Destination": to, "SigninToken": signin_token}
    return f"{places.signin}?{urlencode(query)}"
