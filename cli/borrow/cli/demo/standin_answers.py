"""What the stand-in says in AWS's words: STS answers and errors, per protocol of the service."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from borrow.cli.demo.standin_moto import Issued
from borrow.cli.demo.standin_trail import iso

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

    from borrow.cli.demo.standin_sessions import Session

_STS = "https://sts.amazonaws.com/doc/2011-06-15/"

#: Codes that are not answered with 400.
_STATUS = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "MissingAuthenticationToken": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
}
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>|\"__type\": ?\"(?:[^\"#]*#)?([^\"]{1,100})\"")
_MESSAGE = re.compile(rb"<Message>([^<]{0,500})</Message>")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def error(self) -> tuple[str, str] | None:
        """AWS's code and message, if this answer is an error."""
        if self.status < 400:
            return None
        code, message = _CODE.search(self.body), _MESSAGE.search(self.body)
        name = (code[1] or code[2]).decode() if code else str(self.status)
        return name, message[1].decode("utf-8", "replace") if message else ""

    def send(self, start: StartResponse, method: str) -> list[bytes]:
        """Send it; a HEAD gets the headers alone."""
        kept = [
            (k, v) for k, v in self.headers if k.lower() not in ("content-length", "connection")
        ]
        length = {k.lower(): v for k, v in self.headers}.get("content-length")
        if method != "HEAD" or length is None:
            length = str(len(self.body))
        start(
            f"{self.status} {HTTPStatus(self.status).phrase}", [*kept, ("Content-Length", length)]
        )
        return [] if method == "HEAD" else [self.body]


def error_answer(service: str, code: str, message: str, *, json_api: bool = False) -> Answer:
    """The error in the form that SDKs of `service` read."""
    request = str(uuid.uuid4())
    status = _STATUS.get(code, 400)
    if json_api:
        body = json.dumps({"__type": code, "message": message}).encode()
        kind = "application/x-amz-json-1.1"
        return Answer(status, (("Content-Type", kind), ("x-amzn-RequestId", request)), body)
    told = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if service == "s3":
        status = 400 if code == "ExpiredToken" else status  # S3 alone says 400 here
        text = f"<Error>{told}<RequestId>{request}</RequestId></Error>"
    elif service == "ec2":
        text = (
            f"<Response><Errors><Error>{told}</Error></Errors>"
            f"<RequestID>{request}</RequestID></Response>"
        )
    else:
        kind = "Receiver" if status >= 500 else "Sender"
        text = (
            f'<ErrorResponse xmlns="{_STS}"><Error><Type>{kind}</Type>{told}</Error>'
            f"<RequestId>{request}</RequestId></ErrorResponse>"
        )
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(status, (("Content-Type", "text/xml"), ("x-amz-request-id", request)), body)


def session_answer(event: str, session: Session, issued: Issued) -> Answer:
    """The answer of AssumeRole or AssumeRoleWithWebIdentity, with what moto leaves out."""
    request = str(uuid.uuid4())
    end = iso(session.end)
    source = session.source_identity
    parts = [
        "<Credentials>",
        f"<AccessKeyId>{escape(issued.access_key)}</AccessKeyId>",
        f"<SecretAccessKey>{escape(issued.secret_key)}</SecretAccessKey>",
        f"<SessionToken>{escape(issued.session_token)}</SessionToken>",
        f"<Expiration>{end}</Expiration></Credentials>",
        f"<AssumedRoleUser><AssumedRoleId>{escape(f'{session.role_id}:{session.name}')}",
        f"</AssumedRoleId><Arn>{escape(session.arn)}</Arn></AssumedRoleUser>",
        "<PackedPolicySize>6</PackedPolicySize>",
        f"<SourceIdentity>{escape(source)}</SourceIdentity>" if source else "",
    ]
    if session.web is not None:
        parts += [
            f"<SubjectFromWebIdentityToken>{escape(session.web['subject'])}",
            f"</SubjectFromWebIdentityToken><Audience>{escape(session.web['audience'])}</Audience>",
            f"<Provider>{escape(session.web['issuer'])}</Provider>",
        ]
    text = (
        f'<{event}Response xmlns="{_STS}"><{event}Result>{"".join(parts)}</{event}Result>'
        f"<ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></{event}Response>"
    )
    return Answer(200, (("Content-Type", "text/xml"), ("x-amzn-RequestId", request)), text.encode())


def issued_in(body: bytes) -> Issued | None:
    """What moto's own AssumeRole answer holds; None if it is not one."""
    found = []
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "AssumedRoleId", "Arn"):
        got = re.search(rf"<{name}>([^<]+)</{name}>".encode(), body)
        if got is None:
            return None
        found.append(got[1].decode())
    key, secret, token, role_id, arn = found
    return Issued(key, secret, token, role_id.partition(":")[0], arn)
