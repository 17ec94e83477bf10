"""A private AWS on loopback for the demo and the tests: moto behind a thin wrapper.

moto checks signatures and the roles' policies. What it lacks is decided here: who may assume a
role, web identity tokens, when a session ends, what its session policy takes away, SourceIdentity
and tags, and a CloudTrail that names them. Everything else is moto's answer, unchanged.

`python -m borrow.cli.demo.standin` serves it from a process of its own (`standin_serve`).
"""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from borrow.cli.demo.standin_answers import Answer, error_answer, issued_in, session_answer
from borrow.cli.demo.standin_calls import WEB_IDENTITY, Call, read_call, unread
from borrow.cli.demo.standin_console import ConsolePages
from borrow.cli.demo.standin_control import CONTROL_HEADER, CONTROL_PATH, MAX_CONTROL, Control
from borrow.cli.demo.standin_policy import matches
from borrow.cli.demo.standin_sessions import (
    Session,
    SessionAsk,
    Sessions,
    chained,
    check,
    read_ask,
)
from borrow.cli.demo.standin_trail import (
    Event,
    Trail,
    anonymous,
    ask_details,
    session_details,
    session_identity,
    user_identity,
    web_identity,
)
from borrow.cli.demo.standin_webid import Jwks, WebIdentity, fetch_jwks, verify
from borrow.protocol.errors import Misconfigured, Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from borrow.cli.demo.standin_moto import Issued, MotoCloud
    from borrow.cli.demo.standin_seed import Role


@dataclass
class _Notes:
    """What one call leaves for its trail line, however it ends."""

    identity: Event
    details: Event = field(default_factory=dict)


class StandIn:
    """The WSGI app. `hosts` are its own Host headers, `secret` guards the control path."""

    def __init__(
        self,
        cloud: MotoCloud,
        trail: Trail,
        control: Control,
        *,
        hosts: frozenset[str],
        secret: str,
        clock: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
        jwks: Jwks = fetch_jwks,
    ) -> None:
        self._cloud = cloud
        self._trail = trail
        self._control = control
        self._hosts = hosts
        self._secret = secret
        self._clock = clock
        self._pause = pause
        self._jwks = jwks
        self._sessions = Sessions()
        self._console = ConsolePages(self._sessions, hosts)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        controls = environ.get("PATH_INFO") == CONTROL_PATH
        answer = self._controlled(environ) if controls else self._serve(environ)
        return answer.send(start, str(environ["REQUEST_METHOD"]))

    def _now(self) -> float:
        return self._clock() + self._control.clock_offset

    def _serve(self, environ: WSGIEnvironment) -> Answer:
        if self._console.serves(str(environ.get("PATH_INFO", ""))):
            return self._console.answer(environ, self._now())
        try:
            call = read_call(environ, self._hosts)
        except Refused as no:
            # On the trail too, unlike in AWS: tests look there for calls without credentials.
            self._trail.write(
                unread(environ), anonymous(), self._now(), error=(no.state, no.message)
            )
            return error_answer("", no.state, no.message)
        session = self._sessions.find(call.access_key)
        seen = session_identity(session) if session else user_identity(call, self._user_arn(call))
        notes = _Notes(seen, _s3_details(call))
        try:
            answer = self._judged(environ, call, session, notes)
        except Refused as no:
            as_json = "HTTP_X_AMZ_TARGET" in environ
            answer = error_answer(call.service, no.state, no.message, json_api=as_json)
        self._trail.write(
            call, notes.identity, self._now(), error=answer.error, details=notes.details
        )
        return answer

    def _judged(
        self, environ: WSGIEnvironment, call: Call, session: Session | None, notes: _Notes
    ) -> Answer:
        """Answer one call, or raise Refused with AWS's error code.

        1. What a test asked to go wrong goes wrong first.
        2. A session is held to its end and its policy.
        3. AssumeRole* is decided here, all else (signatures and role policies too) by moto.
        """
        if call.assumes:
            delay, fail = self._control.sts_call()
            if delay:
                self._pause(delay)
            if fail:
                raise Refused("this failure was asked for by a test", state=fail)
        if session is not None:
            check(session, call, self._now())
        if not call.assumes:
            return self._forward(environ)
        if call.event == WEB_IDENTITY:
            return self._assume_with_token(call, notes)
        return self._assume(environ, call, session, notes)

    def _assume(
        self, environ: WSGIEnvironment, call: Call, caller: Session | None, notes: _Notes
    ) -> Answer:
        role = self._role(call)
        ask = chained(read_ask(call.form, role), caller)
        notes.details = ask_details(ask)
        trust = role.trust if role else None
        principals = self._principals(call, caller)
        trusted = trust is not None and any(
            principal == "*" or self._full_arn(principal) in principals
            for principal in trust.principals
        )
        if trust is None or not trusted or not _allows(trust.actions, "sts:AssumeRole", ask):
            who = caller.arn if caller else self._user_arn(call) or "an unknown user"
            raise Refused(
                f"User: {who} is not authorized to perform: sts:AssumeRole "
                f"on resource: {ask.role_arn}",
                state="AccessDenied",
            )
        answer = self._forward(environ)  # the caller's signature and own policies are moto's
        issued = issued_in(answer.body) if answer.status == 200 else None
        if issued is None:
            return answer
        return self._hand_out(call, ask, issued, notes)

    def _assume_with_token(self, call: Call, notes: _Notes) -> Answer:
        notes.identity = web_identity(None)
        role = self._role(call)
        ask = read_ask({k: v for k, v in call.form.items() if k != "SourceIdentity"}, role)
        ask = replace(ask, tags=type(ask.tags)())  # both come from the token, never from the form
        notes.details = ask_details(ask)
        trust = self._control.web_trust(ask.role_arn.rpartition("/")[2]) if role else None
        if trust is None:
            raise _not_by_token()
        token = call.form.get("WebIdentityToken", "")
        found = verify(token, ask.role_arn, trust, self._jwks, self._now())
        notes.identity = web_identity(found)
        ask = replace(ask, source_identity=found.source_identity, tags=found.tags)
        notes.details = ask_details(ask)
        if not _allows(trust.actions, f"sts:{WEB_IDENTITY}", ask):
            raise _not_by_token()
        issued = self._cloud.new_session(ask.role_arn, ask.name, ask.duration)
        return self._hand_out(call, ask, issued, notes, found)

    def _hand_out(
        self,
        call: Call,
        ask: SessionAsk,
        issued: Issued,
        notes: _Notes,
        found: WebIdentity | None = None,
    ) -> Answer:
        now = self._now()
        session = Session(
            access_key=issued.access_key,
            arn=issued.arn,
            role_arn=ask.role_arn,
            role_id=issued.role_id,
            name=ask.name,
            made=now,
            end=now + ask.duration,
            policy=ask.policy,
            source_identity=ask.source_identity,
            tags=ask.tags,
            web=None
            if found is None
            else {"issuer": found.issuer, "subject": found.subject, "audience": found.audience},
        )
        self._sessions.remember(session)
        notes.details |= session_details(session)
        return session_answer(call.event, session, issued)

    def _forward(self, environ: WSGIEnvironment) -> Answer:
        from werkzeug.test import run_wsgi_app

        try:
            parts, status, headers = run_wsgi_app(self._cloud.app, environ, buffered=True)
            body = b"".join(parts)
        # moto raises whatever its parser meets; AWS would answer, and so must we.
        except Exception as exc:  # noqa: BLE001
            return error_answer("", "InternalFailure", f"moto failed: {type(exc).__name__}")
        return Answer(int(status.split(" ", 1)[0]), tuple(headers.items()), body)

    def _role(self, call: Call) -> Role | None:
        """The seeded role with exactly the ARN that `call` names."""
        arn = call.form.get("RoleArn", "")
        name = arn.rpartition("/")[2]
        seed = self._cloud.seed
        return seed.roles.get(name) if seed.role_arn(name) == arn else None

    def _user_arn(self, call: Call) -> str:
        return self._cloud.seed.base_arn if call.access_key == self._cloud.base.access_key else ""

    def _principals(self, call: Call, caller: Session | None) -> set[str]:
        """The names under which a trust may let the caller in."""
        own = {caller.arn, caller.role_arn} if caller else {self._user_arn(call)} - {""}
        return own | {f"arn:aws:iam::{self._cloud.seed.account}:root"} if own else own

    def _full_arn(self, principal: str) -> str:
        if principal.startswith("arn:"):
            return principal
        return f"arn:aws:iam::{self._cloud.seed.account}:{principal}"

    def _controlled(self, environ: WSGIEnvironment) -> Answer:
        """The control path: GET reads the state, POST turns knobs; without the secret, nothing."""
        header = "HTTP_" + CONTROL_HEADER.upper().replace("-", "_")
        offered = str(environ.get(header, "")).encode("latin-1", "replace")
        if not hmac.compare_digest(offered, self._secret.encode()):
            return error_answer("", "AccessDenied", "this path is closed")
        if environ["REQUEST_METHOD"] == "POST":
            try:
                length = min(int(environ.get("CONTENT_LENGTH") or 0), MAX_CONTROL)
                knobs = json.loads(environ["wsgi.input"].read(length))
                if not isinstance(knobs, dict):
                    raise Misconfigured("the knobs are not an object", hint="send a JSON object")
                self._control.apply(knobs)
            except (ValueError, Misconfigured) as exc:
                return _json(400, {"error": str(exc)})
        return _json(200, self._control.state() | {"sessions": len(self._sessions)})


def _allows(actions: tuple[str, ...], action: str, ask: SessionAsk) -> bool:
    """Whether a trust statement lets in `action` and what the ask needs besides."""
    return all(
        any(matches(glob.lower(), each.lower()) for glob in actions)
        for each in (action, *ask.needs)
    )


def _not_by_token() -> Refused:
    return Refused("Not authorized to perform sts:AssumeRoleWithWebIdentity", state="AccessDenied")


def _s3_details(call: Call) -> Event:
    if call.service != "s3" or call.resource == "*":
        return {}
    bucket, _, key = call.resource.removeprefix("arn:aws:s3:::").partition("/")
    asked = {"bucketName": bucket} | ({"key": key} if key and key != "*" else {})
    return {"requestParameters": asked}


def _json(status: int, value: dict[str, Any]) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(value).encode())


if __name__ == "__main__":
    from borrow.cli.demo.standin_serve import main

    raise SystemExit(main())
