"""The session policy of a session: what its client asked for, less what the minter denies.

A session policy can only narrow a role, and an explicit Deny wins over every Allow in AWS's
evaluation, resource policies included. That makes the Deny after the grant's end a bound that holds
below STS's floor of 900 s, where the session itself lives longer than the grant.
Pure: text in, text out; AWS's own size limit is checked here, so that it is told at the request.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.strict import parse_object

VERSION = "2012-10-17"  # the older version has no policy variables and reads `${…}` as text
MAX_CHARS = 2_048  # of the whole document: AssumeRole's limit for `Policy`
STATE = "session_policy"

ALLOW_ALL: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
# `sts:Assume*` also covers AssumeRoot. A chained role would have no end of ours.
DENY_IAM: dict[str, Any] = {
    "Effect": "Deny",
    "Action": ["iam:*", "organizations:*", "sts:Assume*"],
    "Resource": "*",
}

_DOCUMENT = frozenset({"Version", "Id", "Statement"})
# No Principal: a session policy has none, and AWS refuses it.
_STATEMENT = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


def build(client: str, *, ends_at: int, deny_iam: bool) -> str:
    """The document for STS. `client` is the request's own policy, "" for none.

    `ends_at` is unix seconds; from it on everything is denied. Raises Refused (state
    `session_policy`) if the client's part is no session policy, or the whole is over MAX_CHARS.
    """
    statements = _client_statements(client) if client else [ALLOW_ALL]
    statements = [*statements, deny_from(ends_at), *([DENY_IAM] if deny_iam else [])]
    text = json.dumps({"Version": VERSION, "Statement": statements}, separators=(",", ":"))
    if len(text) > MAX_CHARS:
        raise Refused(
            f"the session policy is {len(text)} characters long with the minter's part,"
            f" and AWS takes {MAX_CHARS}",
            hint="shorten the session policy",
            state=STATE,
        )
    return text


def check(client: str, *, deny_iam: bool) -> None:
    """Raise what `build` would raise: for the moment of the request, when no end is known yet."""
    build(client, ends_at=0, deny_iam=deny_iam)


def deny_from(ends_at: int) -> dict[str, Any]:
    """Deny everything at and after `ends_at`: a grant's end is exclusive, so `…Equals`."""
    moment = datetime.fromtimestamp(ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": moment}},
    }


def _client_statements(text: str) -> list[dict[str, Any]]:
    try:
        document = parse_object(text, "session policy")
    except Untrusted as exc:
        raise _wrong(exc.message) from None
    if not document.keys() <= _DOCUMENT or document.get("Version") != VERSION:
        raise _wrong(f"the session policy is not a document of Version {VERSION}")
    if not isinstance(document.get("Id", ""), str):
        raise _wrong("the session policy's Id is not text")
    raw = document.get("Statement")
    listed = raw if isinstance(raw, list) else [raw]
    if not listed:
        raise _wrong("the session policy has no statement")  # never "nothing forbidden"
    return [_statement(each) for each in listed]


def _statement(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict) or not raw.keys() <= _STATEMENT:
        raise _wrong("a statement of the session policy has unknown members")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise _wrong("a statement of the session policy neither allows nor denies")
    if not isinstance(raw.get("Sid", ""), str):
        raise _wrong("a Sid of the session policy is not text")
    for plain, negated in (("Action", "NotAction"), ("Resource", "NotResource")):
        if (plain in raw) == (negated in raw):
            raise _wrong(f"a statement needs exactly one of {plain} and {negated}")
        _texts(raw.get(plain, raw.get(negated)), plain)
    _condition(raw.get("Condition", {}))
    return raw


def _texts(raw: object, name: str) -> None:
    listed = raw if isinstance(raw, list) else [raw]
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise _wrong(f"{name} of a statement is not text or a list of texts")


def _condition(raw: object) -> None:
    if not isinstance(raw, dict):
        raise _wrong("the Condition of a statement is not operators with keys")
    for keys in raw.values():
        if not isinstance(keys, dict) or not keys:
            raise _wrong("a Condition of a statement names no key")
        for value in keys.values():
            listed = value if isinstance(value, list) else [value]
            if not listed or not all(isinstance(each, str | bool | int | float) for each in listed):
                raise _wrong("a Condition of a statement compares with something that is no value")


def _wrong(message: str) -> Refused:
    return Refused(message, hint="write it like an IAM policy without Principal", state=STATE)
