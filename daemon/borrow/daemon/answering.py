"""Saying yes or no in a person's name: check the statement, then sign exactly its bytes.

The approver shows a request and sends the statement to sign; it could lie in either. So a
signature is given only after the statement was compared with what was shown and typed
(abuse case A56), and it covers the bytes as they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from borrow.daemon.reviewing import Shown, from_signed, was_read
from borrow.protocol.errors import Misconfigured, Refused, Untrusted
from borrow.protocol.strict import b64url, from_b64url

if TYPE_CHECKING:
    from borrow.daemon.device import DeviceKeys
    from borrow.daemon.upstream import Upstream
    from borrow.protocol.decision import Statement


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person decided, about what they were shown. `seconds` 0: as long as was asked."""

    decision: str
    request_hash: str = ""
    number: str = ""
    code: str = ""
    seconds: int = 0
    reason: str = ""


async def answer_request(
    upstream: Upstream, subject: str, answer: Answer, shown: Shown | None = None
) -> dict[str, Any]:
    """Tell the approver. Raises Untrusted if the statement is not about what was shown."""
    if answer.decision not in ("approve", "deny", "report"):
        raise Misconfigured("a decision is approve, deny or report")
    said = {"reason": answer.reason} if answer.reason else {}
    if answer.decision != "approve":  # a no needs no evidence: it must always be easy
        return await upstream.decide(subject, {"decision": answer.decision, **said})
    if not answer.request_hash:
        raise Misconfigured(
            "a yes names the hash of what was shown", hint="`borrow inbox` shows it"
        )
    query = {"decision": "approve"}
    if answer.number:
        query["number"] = answer.number
    if answer.seconds:
        query["seconds"] = str(answer.seconds)
    transport = upstream.transport
    found = await upstream.decision(subject, query)
    summary = from_signed(found, issuer=transport.config.issuer)
    if shown is not None:
        shown.refuse_another(subject, summary)
    sent = summary.get("statement")
    if not isinstance(sent, str):
        raise Untrusted("the approver sent no statement to sign")
    data = from_b64url(sent, "statement")
    check_statement(
        data,
        subject,
        answer,
        summary,
        issuer=transport.config.issuer,
        person=transport.config.person,
        now=transport.clock(),
    )
    trust = await transport.trust()
    evidence = make_evidence(
        data, answer, transport.device(), read=was_read(summary), seal_to=trust.minter_enc
    )
    body = {"decision": "approve", "statement": b64url(data), "evidence": evidence, **said}
    return await upstream.decide(subject, body)


def check_statement(
    data: bytes,
    subject: str,
    answer: Answer,
    summary: dict[str, Any],
    *,
    issuer: str,
    person: str,
    now: float,
) -> Statement:
    """The statement in `data`, or Untrusted.

    1. it is a yes of this person to this approver's request, and still counts
    2. it is about the request that was shown (its hash binds every signed byte)
    3. the role is the one that was signed, and no longer than was allowed
    4. the number is the one that was typed
    """
    from borrow.protocol.decision import read_statement  # late: it imports cryptography

    statement = read_statement(data)
    said = (statement.issuer, statement.request, statement.decision, statement.approver)
    if said != (issuer, subject, "approve", person):  # 1
        raise Untrusted("the statement to sign is another one", state="statement_mismatch")
    if statement.not_after <= now:
        raise Refused("the statement is too old to sign", hint="open the request again")
    if {statement.request_hash, summary.get("request_hash")} != {answer.request_hash}:  # 2
        raise Untrusted(
            "the request is not the one that was shown", hint="look at it again", state="changed"
        )
    shown = (summary.get("role"), summary.get("arn"))
    if (statement.granted.identifier, statement.granted.arn) != shown:  # 3
        raise Untrusted("the statement grants another role than was shown", state="changed")
    most = answer.seconds or summary.get("seconds")
    if isinstance(most, int) and most and statement.granted.seconds > most:
        raise Untrusted("the statement grants more time than was shown", state="changed")
    if statement.number != answer.number:  # 4
        raise Untrusted("the statement carries another number", state="statement_mismatch")
    return statement


def make_evidence(
    data: bytes, answer: Answer, device: DeviceKeys, *, read: bool, seal_to: Any
) -> dict[str, str]:
    """`totp` if a code was typed, else this device's signature.

    `device` is given for what was `read` in the signed request only. Anything else is a consent,
    which counts for one's own request and is signed in another form: whoever says that a request
    is the person's own, so that nothing of it is checked, gets what proves nothing of others'.
    """
    from borrow.protocol.decision import Evidence, seal_totp, sign_consent, sign_statement

    if answer.code:
        return Evidence("totp", seal_totp(data, answer.code, device.sig, seal_to.first())).to_json()
    if read:
        return Evidence("device", sign_statement(data, device.sig)).to_json()
    return Evidence("consent", sign_consent(data, device.sig)).to_json()
