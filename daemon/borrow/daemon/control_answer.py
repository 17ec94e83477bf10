"""The control API's answering half: inbox, decisions, reports, TOTP, explanations, the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.answering import Answer as Decision
from borrow.daemon.answering import answer_request
from borrow.daemon.control import ID, Parts, Route, refuse_agents, role_named, route, seconds_in
from borrow.daemon.reviewing import Shown, from_signed
from borrow.protocol.errors import Misconfigured, Refused, Untrusted
from borrow.protocol.ids import kind_of
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from borrow.daemon.unixhttp import Answer, Call

TOTP_SECRET_TYP: Final = "borrow-totp-secret+jwe"  # noqa: S105  a message type
PAGE: Final = 500  # log entries in one answer


def answer_routes(parts: Parts) -> list[Route]:
    upstream, shown = parts.upstream, Shown()

    async def inbox(call: Call, _: str) -> Answer:
        parts.config.require_enrolled()
        decisions = await upstream.decisions()
        waiting = [each for each in decisions if each.get("state", "pending") == "pending"]
        parts.inbox.count = sum(1 for each in waiting if each.get("mine") is not True)
        return {"decisions": decisions}

    async def show(call: Call, subject: str) -> Answer:
        one = from_signed(await upstream.decision(subject), issuer=upstream.transport.config.issuer)
        shown.note(subject, one)
        return one

    async def decide(call: Call, subject: str) -> Answer:
        body = Members(call.body, "request")
        decision = Decision(
            decision=body.text("decision", limit=16),
            request_hash=body.text_or("request_hash", limit=64),
            number=body.text_or("number", limit=8),
            code=body.text_or("code", limit=16),
            seconds=seconds_in(body),
            reason=body.text_or("reason"),
        )
        body.end()
        if decision.decision == "approve":
            await refuse_agents(call.pid, "say yes for a person")
        told = await answer_request(upstream, subject, decision, shown)
        if told.get("state") != "pending":  # half a yes leaves it in the inbox
            parts.inbox.count = max(0, parts.inbox.count - 1)
        return told

    async def report(call: Call, _: str) -> Answer:
        body = Members(call.body, "request")
        subject = body.text("id", limit=64)
        body.end()
        told = await upstream.decide(subject, {"decision": "report"})
        # Not only once the event comes: whoever reports is sure.
        now = parts.broker.now()
        ended = [
            grant.grant_id
            for grant in parts.broker.cache.live(now)
            if subject in (grant.grant_id, grant.request_id)
        ]
        parts.broker.cache.end_all(now, ended)
        return told

    async def explain(call: Call, subject: str) -> Answer:
        return await _explain(parts, subject)

    return [
        route("GET", r"/v1/inbox", inbox),
        route("GET", rf"/v1/decisions/{ID}", show),
        route("POST", rf"/v1/decisions/{ID}", decide),
        route("POST", r"/v1/report", report),
        route("GET", rf"/v1/explain/{ID}", explain),
        *_totp_routes(parts),
        *_audit_routes(parts),
    ]


def _totp_routes(parts: Parts) -> list[Route]:
    upstream = parts.upstream

    async def begin(call: Call, _: str) -> Answer:
        from borrow.protocol.jose import unseal  # late: it imports cryptography

        await refuse_agents(call.pid, "enrol an authenticator")
        body = Members(call.body, "request")
        old_code = body.text_or("code", limit=16)
        body.end()
        # Tied to our client id, which is what the minter compares for a replacement.
        tied_to = parts.config.client_id
        sealed_old = await _sealed_code(parts, tied_to, old_code) if old_code else ""
        answer = Members(await upstream.totp_begin(sealed_old), "answer")
        enrolment = answer.text("enrolment", limit=64)
        sealed = answer.text("sealed", limit=16_384)
        secret = unseal(sealed, upstream.transport.device().enc, TOTP_SECRET_TYP)
        told = Members(parse_object(secret, "TOTP secret"), "TOTP secret")
        return {"enrolment": enrolment, "secret": told.text("secret"), "uri": told.text("uri")}

    async def confirm(call: Call, enrolment: str) -> Answer:
        body = Members(call.body, "request")
        code = body.text("code", limit=16)
        body.end()
        return await upstream.totp_confirm(enrolment, await _sealed_code(parts, enrolment, code))

    return [route("POST", r"/v1/totp", begin), route("POST", rf"/v1/totp/{ID}", confirm)]


async def _sealed_code(parts: Parts, enrolment: str, code: str) -> str:
    from borrow.protocol.decision import seal_totp

    transport = parts.upstream.transport
    trust = await transport.trust()
    return seal_totp(enrolment.encode(), code, transport.device().sig, trust.minter_enc.first())


def _audit_routes(parts: Parts) -> list[Route]:
    async def entries(call: Call, _: str) -> Answer:
        start, count = call.query.get("start", "0"), call.query.get("count", str(PAGE))
        if not (start.isdecimal() and count.isdecimal() and len(start + count) < 24):
            raise Misconfigured("start and count are whole numbers")
        return await parts.upstream.log_entries(int(start), min(int(count), PAGE))

    async def check(call: Call, _: str) -> Answer:
        return await parts.upstream.log_check()

    async def head(call: Call, _: str) -> Answer:
        return await parts.upstream.log_head()

    return [
        route("GET", r"/v1/audit/entries", entries),
        route("GET", r"/v1/audit/check", check),
        route("GET", r"/v1/audit/sth", head),
    ]


async def _explain(parts: Parts, subject: str) -> dict[str, Any]:
    """Everything that is known of a request, a grant or a role."""
    parts.config.require_enrolled()
    try:
        kind = kind_of(subject)
    except Untrusted:
        facts = await parts.broker.catalogue.role(role_named(subject))
        return {"role": facts.entry}
    if kind == "r":
        return {"request": await parts.upstream.request_status(subject)}
    for entry in await parts.upstream.grants():
        if entry.get("grant") == subject:
            return {"grant": entry}
    raise Refused(f"no grant {subject} of this machine", state="not_found")
