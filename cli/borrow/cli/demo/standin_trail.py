"""The stand-in's CloudTrail: one JSON line per call, in the shape of the real event record.

https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference.html
The file holds no secret: access key ids, never secret keys, session tokens or web identity tokens.
"""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from borrow.cli.demo.standin_calls import Call
    from borrow.cli.demo.standin_sessions import Session, SessionAsk
    from borrow.cli.demo.standin_webid import WebIdentity

Event = dict[str, Any]


def iso(moment: float) -> str:
    """Unix seconds as AWS writes them."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Trail:
    """Appends events to one file, whole lines at a time, for many server threads."""

    def __init__(self, path: Path, account: str) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._account = account
        self._lock = threading.Lock()

    def close(self) -> None:
        self._file.close()

    def write(
        self,
        call: Call,
        identity: Event,
        now: float,
        *,
        error: tuple[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record `call`; `error` is (code, message), `details` are further top-level members."""
        event: Event = {
            "eventVersion": "1.11",
            "userIdentity": {"accountId": self._account, **identity},
            "eventTime": iso(now),
            "eventSource": f"{call.service}.amazonaws.com",
            "eventName": call.event,
            "awsRegion": call.region,
            "sourceIPAddress": call.address,
            "userAgent": call.agent[:300],
            "requestID": str(uuid.uuid4()),
            "eventID": str(uuid.uuid4()),
            "eventType": "AwsApiCall",
            "recipientAccountId": self._account,
            **(details or {}),
        }
        if error is not None:
            event["errorCode"], event["errorMessage"] = error
        line = json.dumps(event) + "\n"
        with self._lock:
            self._file.write(line)


def anonymous() -> Event:
    """`userIdentity` of a call that is not signed, as S3's own events name it."""
    return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}


def session_identity(session: Session) -> Event:
    """`userIdentity` of a call that a session makes: the place where SourceIdentity shows."""
    context: Event = {
        "sessionIssuer": {
            "type": "Role",
            "principalId": session.role_id,
            "arn": session.role_arn,
            "userName": session.role_arn.rpartition("/")[2],
        },
        "attributes": {"creationDate": iso(session.made), "mfaAuthenticated": "false"},
    }
    if session.source_identity:
        context["sourceIdentity"] = session.source_identity
    if session.web is not None:
        context["webIdFederationData"] = {
            "federatedProvider": session.web["issuer"],
            "attributes": {},
        }
    return {
        "type": "AssumedRole",
        "principalId": f"{session.role_id}:{session.name}",
        "arn": session.arn,
        "accessKeyId": session.access_key,
        "sessionContext": context,
    }


def user_identity(call: Call, arn: str) -> Event:
    """`userIdentity` of an IAM user's call; `arn` is "" for a key that belongs to nobody."""
    identity: Event = {"type": "IAMUser", "accessKeyId": call.access_key}
    return {**identity, "arn": arn, "userName": arn.rpartition("/")[2]} if arn else identity


def web_identity(found: WebIdentity | None) -> Event:
    """`userIdentity` of AssumeRoleWithWebIdentity; of a refused token nothing is believed."""
    if found is None:
        return {"type": "WebIdentityUser"}
    return {
        "type": "WebIdentityUser",
        "principalId": f"{found.issuer}:{found.audience}:{found.subject}",
        "userName": found.subject,
        "identityProvider": found.issuer,
    }


def ask_details(ask: SessionAsk) -> Event:
    """`requestParameters` of an AssumeRole* call."""
    asked: Event = {
        "roleArn": ask.role_arn,
        "roleSessionName": ask.name,
        "durationSeconds": ask.duration,
    }
    if ask.source_identity:
        asked["sourceIdentity"] = ask.source_identity
    if ask.policy_text:
        asked["policy"] = ask.policy_text
    if ask.tags.values:
        asked["tags"] = [{"key": key, "value": value} for key, value in ask.tags.values.items()]
    if ask.tags.transitive:
        asked["transitiveTagKeys"] = sorted(ask.tags.transitive)
    return {"requestParameters": asked}


def session_details(session: Session) -> Event:
    """`responseElements` of an AssumeRole* call: which key it made, without its secret."""
    answer: Event = {
        "credentials": {"accessKeyId": session.access_key, "expiration": iso(session.end)},
        "assumedRoleUser": {
            "assumedRoleId": f"{session.role_id}:{session.name}",
            "arn": session.arn,
        },
    }
    if session.source_identity:
        answer["sourceIdentity"] = session.source_identity
    return {"responseElements": answer}
