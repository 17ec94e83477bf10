"""The sessions that the stand-in handed out, and what each may still do.

moto forgets an assumed role's policy, SourceIdentity, tags and end; this page remembers them by
access key. All rules take `now`; a refusal is `Refused` whose `state` is AWS's error code.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.cli.demo.standin_policy import Asked, SessionPolicy, Verdict, parse_policy
from borrow.cli.demo.standin_seed import MIN_SESSION, Role
from borrow.protocol.errors import Refused, Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from borrow.cli.demo.standin_calls import Call

CHAINED_MAX = 3600  # seconds; AWS's bound for a role assumed by a role, whatever its own maximum

_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_TAG = re.compile(r"[\w .:/=+\-@]*")
_MAX_TAGS = 50


@dataclass(frozen=True)
class Tags:
    """Session tags, and which of them the next role of a chain inherits."""

    values: Mapping[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SessionAsk:
    """What a caller of AssumeRole* wants, checked against AWS's syntax."""

    role_arn: str
    name: str
    duration: int
    policy_text: str
    policy: SessionPolicy | None
    source_identity: str
    tags: Tags

    @property
    def needs(self) -> tuple[str, ...]:
        """The extra actions that the role's trust must allow for this ask."""
        tag = ("sts:TagSession",) if self.tags.values else ()
        return (*tag, "sts:SetSourceIdentity") if self.source_identity else tag


@dataclass(frozen=True)
class Session:
    """One assumed role. `end` and `made` are unix seconds; `end` is exclusive."""

    access_key: str
    arn: str
    role_arn: str
    role_id: str
    name: str
    made: float
    end: float
    policy: SessionPolicy | None
    source_identity: str
    tags: Tags
    web: Mapping[str, str] | None = None  # issuer and subject of a web identity


class Sessions:
    """Sessions by access key, for many server threads."""

    def __init__(self) -> None:
        self._by_key: dict[str, Session] = {}
        self._lock = threading.Lock()

    def remember(self, session: Session) -> None:
        with self._lock:
            self._by_key[session.access_key] = session

    def find(self, access_key: str) -> Session | None:
        with self._lock:
            return self._by_key.get(access_key)

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_key)


def check(session: Session, call: Call, now: float) -> None:
    """Raise unless `session` may still make `call` at `now`.

    1. Nothing works at or after the session's end.
    2. GetCallerIdentity needs no permission, not even against an explicit Deny (AWS documents so).
    3. The session policy narrows the role: its Deny wins, and it must allow.
    """
    if now >= session.end:
        message = "The security token included in the request is expired"
        raise Refused(message, state="ExpiredToken")
    if call.action == "sts:GetCallerIdentity" or session.policy is None:
        return
    verdict = session.policy.judge(Asked(call.action, call.resource, _context(session, call, now)))
    if verdict is not Verdict.ALLOWED:
        on = f" on resource: {call.resource}" if call.resource else ""
        because = (
            "with an explicit deny in a session policy"
            if verdict is Verdict.DENIED
            else "because no session policy allows the action"
        )
        raise Refused(
            f"User: {session.arn} is not authorized to perform: {call.action}{on} {because}",
            state="AccessDenied",
        )


def _context(session: Session, call: Call, now: float) -> dict[str, str]:
    context = {
        "aws:currenttime": str(now),
        "aws:epochtime": str(int(now)),
        "aws:sourceip": call.address,
        "aws:requestedregion": call.region,
        "aws:viaawsservice": "false",
        "aws:securetransport": "false",
        "aws:principalarn": session.role_arn,
    }
    if session.source_identity:
        context["aws:sourceidentity"] = session.source_identity
    tags = session.tags.values.items()
    return context | {f"aws:principaltag/{key.lower()}": value for key, value in tags}


def read_ask(form: Mapping[str, str], role: Role | None) -> SessionAsk:
    """Check the parameters of an AssumeRole* call as AWS does, before anybody's rights.

    `role` is None for a role that does not exist; who asks for it learns that later, not here.
    """
    name = form.get("RoleSessionName", "")
    if not _SESSION_NAME.fullmatch(name):
        raise Refused("roleSessionName fails its pattern or length", state="ValidationError")
    source = form.get("SourceIdentity", "")
    if "SourceIdentity" in form:
        _check_source_identity(source)
    duration = form.get("DurationSeconds", "3600")
    if not duration.isdecimal() or int(duration) < MIN_SESSION:
        raise Refused(f"durationSeconds is below {MIN_SESSION}", state="ValidationError")
    if role is not None and int(duration) > role.max_session:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise Refused(message, state="ValidationError")
    text = form.get("Policy", "")
    try:
        policy = parse_policy(text) if "Policy" in form else None
    except Untrusted as exc:
        raise Refused(exc.message, state="MalformedPolicyDocument") from exc
    return SessionAsk(
        role_arn=form.get("RoleArn", ""),
        name=name,
        duration=int(duration),
        policy_text=text,
        policy=policy,
        source_identity=source,
        tags=_tags(form),
    )


def _check_source_identity(value: str) -> None:
    if not _SESSION_NAME.fullmatch(value) or value.startswith("aws:"):
        raise Refused("sourceIdentity fails its pattern or length", state="ValidationError")


def _tags(form: Mapping[str, str]) -> Tags:
    values: dict[str, str] = {}
    for number in range(1, len(form) + 1):
        key = form.get(f"Tags.member.{number}.Key")
        if key is None:
            break
        values[key] = form.get(f"Tags.member.{number}.Value", "")
    transitive = {
        value for key, value in form.items() if key.startswith("TransitiveTagKeys.member.")
    }
    return checked_tags(values, transitive)


def checked_tags(values: Mapping[str, str], transitive: set[str]) -> Tags:
    """AWS's bounds for session tags: 50 of them, keys up to 128, values up to 256 characters."""
    for key, value in values.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or not _TAG.fullmatch(key + value):
            raise Refused("a session tag fails its pattern or length", state="ValidationError")
    if len(values) > _MAX_TAGS or not transitive <= values.keys():
        raise Refused(
            "too many session tags, or a transitive key has no tag", state="InvalidParameterValue"
        )
    return Tags(dict(values), frozenset(transitive))


def chained(ask: SessionAsk, parent: Session | None) -> SessionAsk:
    """What `ask` becomes when a session makes it: identity and transitive tags are inherited.

    AWS lets no one change a SourceIdentity once it is set, nor overwrite a transitive tag.
    """
    if parent is None:
        return ask
    if ask.duration > CHAINED_MAX:
        message = "The requested DurationSeconds exceeds the 1 hour limit of role chaining"
        raise Refused(message, state="ValidationError")
    inherited = {key: parent.tags.values[key] for key in parent.tags.transitive}
    set_again = ask.source_identity and ask.source_identity != parent.source_identity
    if (parent.source_identity and set_again) or inherited.keys() & ask.tags.values.keys():
        message = "a chained session cannot change its source identity or a transitive tag"
        raise Refused(message, state="AccessDenied")
    return SessionAsk(
        role_arn=ask.role_arn,
        name=ask.name,
        duration=ask.duration,
        policy_text=ask.policy_text,
        policy=ask.policy,
        source_identity=ask.source_identity or parent.source_identity,
        tags=Tags(inherited | dict(ask.tags.values), parent.tags.transitive | ask.tags.transitive),
    )
