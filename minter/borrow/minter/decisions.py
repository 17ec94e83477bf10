"""What people say about a request, and what then follows: statements, a yes, a no, the record.

A statement is issued here with a nonce and comes back once, byte for byte. A yes needs evidence
over exactly those bytes; a no needs none, because a stolen no harms nobody for long. Every decision
becomes a record signed by M, and the record is in the log before anything follows from it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from borrow.minter import requests, schema
from borrow.minter.evidence import Proof
from borrow.minter.records import Request, active_device, decisions_on, load_request
from borrow.minter.requests import MINTER
from borrow.minter.ripe import refuse_unripe
from borrow.minter.store import Keep, people_of
from borrow.minter.verdicts import still_allowed, still_decides, ways_of
from borrow.minter.voices import counts, voices_of, whole
from borrow.policy.whole import missing
from borrow.protocol.decision import (
    CHOICES,
    Choice,
    DecisionRecord,
    Statement,
    read_statement,
    sign_record,
)
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.lifecycle import RequestEvent, RequestState
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from borrow.minter.evidence import Witness
    from borrow.minter.port import Change, Device
    from borrow.minter.records import Decision
    from borrow.minter.secret_files import MinterSecrets
    from borrow.minter.store import Step
    from borrow.policy.model import Policy
    from borrow.protocol.decision import Evidence, Kind

STATEMENT_LIFE = 300  # seconds to sign and send one; reading a prompt takes less
MAX_STATEMENTS = 16  # issued and unused, for one person and request: opening a page costs no more
MAX_WRONG_NUMBERS = 3
MAX_REASON = 500  # characters of a denial's reason that are kept
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Said:
    """A decision as it reached the port. Nothing of it is believed yet."""

    approver: str
    decision: Choice
    statement: bytes | None
    evidence: Evidence | None
    reason: str


def issue_statement(
    step: Step,
    request_id: str,
    approver: str,
    decision: Choice,
    *,
    issuer: str,
    number: str,
    seconds: int,
) -> bytes:
    """The exact bytes that `approver` is to sign, good once and for five minutes.

    Not an event of the log: it changes nothing, and its bytes are in the record once it counts.
    """
    request = pending(step, request_id)
    refuse_outsider(request, approver, decision)
    if len(number) > 8 or not number.isascii():
        raise Untrusted("that is not a number of three digits", state="number_mismatch")
    if not 0 <= seconds <= request.seconds:
        raise Refused(
            f"the request is for {request.seconds} seconds at most",
            hint="a yes can shorten a grant, never lengthen it",
            state="too_long",
            request=request.request_id,
        )
    statement = Statement(
        issuer=issuer,
        request=request.request_id,
        request_hash=request.request_hash,
        decision=decision,
        granted=request.granted(seconds or request.seconds),
        approver=approver,
        nonce=b64url(step.entropy(NONCE_BYTES)),
        issued_at=int(step.now),
        not_after=int(min(step.now + STATEMENT_LIFE, request.pending_until)),
        number=number,
    )
    data = statement.to_bytes()
    _make_room(step, request_id, approver)
    step.run(
        insert(schema.statements).values(
            nonce=statement.nonce,
            request_id=request_id,
            approver=approver,
            data=data,
            not_after=statement.not_after,
            used=False,
        )
    )
    return data


def _make_room(step: Step, request_id: str, approver: str) -> None:
    """Drop what can no longer be used. A used nonce stays: its reuse is refused as a replay."""
    table = schema.statements
    mine = (table.c.request_id == request_id) & (table.c.approver == approver) & ~table.c.used
    step.run(delete(table).where(mine, table.c.not_after <= step.now))
    kept = step.all(select(table.c.nonce).where(mine).order_by(table.c.not_after.desc()))
    surplus = [row.nonce for row in kept[MAX_STATEMENTS - 1 :]]
    if surplus:
        step.run(delete(table).where(table.c.nonce.in_(surplus)))


def pending(step: Step, request_id: str) -> Request:
    """The request if it still waits for an answer, else Refused (state `wrong_state`)."""
    request = requests.due(step, load_request(step, request_id))
    if request.state is not RequestState.PENDING:
        raise Keep(requests.already(request))
    return request


def refuse_outsider(request: Request, approver: str, decision: Choice) -> None:
    """Who may say what: deciders anything, and the requester a no in any mode."""
    if decision not in CHOICES:
        raise Untrusted("a decision is approve, deny or report")
    if approver == request.person:
        if decision == "approve" and request.mode == "peer":
            raise Refused(
                "somebody else has to approve this request",
                hint=f"asked: {', '.join(request.deciders[:5])}",
                state="self_approval",
                request=request.request_id,
            )
        return
    if approver not in request.deciders:
        raise Refused(
            f"{approver!r} is not asked about this request",
            state="not_a_decider",
            request=request.request_id,
        )


def deciding_device(step: Step, approver: str, client_id: str) -> Device:
    device = active_device(step, client_id)
    if device.owner != approver:
        raise Refused(f"{client_id} is another person's device", state="not_a_decider")
    return device


def device_or_page(step: Step, approver: str, client_id: str | None) -> Device | None:
    """The device it came through. None for a page: then a yes needs a passkey, and a no nothing."""
    return None if client_id is None else deciding_device(step, approver, client_id)


def approve(
    step: Step, policy: Policy, request: Request, said: Said, witness: Witness, keys: MinterSecrets
) -> tuple[Request, str]:
    """Count one yes, or keep half of one; the k-th whole yes makes the request approved.

    Returns the request and the record.

    1. the statement is one of ours, for this request, person and choice, unused and in time
    2. this person has not said yes before (one voice each), nor this half of it
    3. the evidence is of a kind the rule takes and signs exactly these bytes
       and, for tier critical, with a key that somebody else did not bring in just now
    4. the number is the one the asking workstation shows (a phished yes lacks it)
    5. the code is right and fresh (totp)
    6. the policy of this moment allows it too
    7. the record is in the log before the yes counts
    8. all that a yes takes is there, from this one person: half a yes is none, whoever else said
       the other half and whatever the approver says
    """
    if said.statement is None or said.evidence is None:
        raise Untrusted("a yes needs a signed statement", hint="open the request and try again")
    statement = _use_statement(step, request, said)
    before = decisions_on(step, request.request_id)
    voices = whole(request, before)
    if any(voice.approver == said.approver for voice in voices):
        raise Refused("you have approved this already", state="wrong_state")
    if said.evidence.kind not in request.factors:
        raise Refused(
            f"the rule does not take evidence of kind {said.evidence.kind!r}",
            hint=f"it takes {' or '.join(request.factors)}",
            state="factor",
            request=request.request_id,
        )
    given = _with_halves(before, said.approver, said.evidence.kind)
    if not still_decides(policy, request, said.approver):
        raise Refused(
            "the policy does not ask you about this any more",
            state="not_a_decider",
            request=request.request_id,
        )
    proof = witness.verify(step, request, said.evidence, said.statement)
    if request.every:
        refuse_unripe(step, said.approver, proof)
    if request.number_match:
        _compare_numbers(step, request, statement)
    proof = witness.confirm(step, proof)
    lacks = () if counts(request, given) else missing(request.factors, given, every=True)
    if refusal := still_allowed(policy, request, ways_of(request) if lacks else (given,)):
        requests.move(step, request, RequestEvent.REVOKE, by=MINTER, why=refusal.message)
        raise Keep(refusal)
    record = _record(step, request, statement, said.statement, proof, keys, lacks)
    if lacks:
        step.change(_half(request, said.approver, given, lacks))
        return load_request(step, request.request_id), record
    if len(voices) + 1 < request.k:
        return load_request(step, request.request_id), record
    return _approved(step, request, by=said.approver), record


def _with_halves(before: list[Decision], approver: str, kind: Kind) -> tuple[str, ...]:
    """The kinds that `approver` gave, `kind` among them; each is given once."""
    mine = next((each.methods for each in voices_of(before) if each.approver == approver), ())
    if kind in mine:
        raise Refused(
            f"your yes by {kind} is there already",
            hint="the rest of it is missing: `borrow inbox`",
            state="half_given",
        )
    return (*mine, kind)


def _half(
    request: Request, approver: str, given: tuple[str, ...], lacks: tuple[str, ...]
) -> Change:
    change = requests.changed("request_half", request, by=approver)
    details = change.details | {"given": list(given), "missing": list(lacks)}
    return replace(change, person=approver, details=details)


def _approved(step: Step, request: Request, *, by: str) -> Request:
    until = step.now + request.claim_seconds
    return requests.move(step, request, RequestEvent.APPROVE, by=by, claim_until=until)


def deny(
    step: Step, request: Request, said: Said, *, issuer: str, keys: MinterSecrets
) -> tuple[Request, str]:
    """One no ends the request. Without a statement the minter writes one for the record."""
    if said.statement is not None:
        statement, data = _use_statement(step, request, said), said.statement
    else:
        statement = Statement(
            issuer=issuer,
            request=request.request_id,
            request_hash=request.request_hash,
            decision=said.decision,
            granted=request.granted(request.seconds),
            approver=said.approver,
            nonce=b64url(step.entropy(NONCE_BYTES)),
            issued_at=int(step.now),
            not_after=int(step.now) + 1,
        )
        data = statement.to_bytes()
    record = _record(step, request, statement, data, Proof("session", "", ""), keys)
    why = said.reason[:MAX_REASON]
    return requests.move(step, request, RequestEvent.DENY, by=said.approver, why=why), record


def approve_by_policy(step: Step, request: Request, issuer: str, keys: MinterSecrets) -> Request:
    """Mode auto: the policy's own yes, on record like any other."""
    statement = Statement(
        issuer=issuer,
        request=request.request_id,
        request_hash=request.request_hash,
        decision="approve",
        granted=request.granted(request.seconds),
        approver=f"policy:{request.rule}",
        nonce=b64url(step.entropy(NONCE_BYTES)),
        issued_at=int(step.now),
        not_after=int(step.now) + 1,
    )
    _record(step, request, statement, statement.to_bytes(), Proof("policy", "", ""), keys)
    return _approved(step, request, by=statement.approver)


def _use_statement(step: Step, request: Request, said: Said) -> Statement:
    """The statement in the exact bytes issued for this request, person and choice, used up now."""
    data = said.statement or b""
    statement = read_statement(data)
    table = schema.statements
    row = step.one(select(table).where(table.c.nonce == statement.nonce))
    if row is None or not hmac.compare_digest(row.data, data):
        raise Untrusted("the statement was not issued here", hint="open the request again")
    if (row.request_id, row.approver) != (request.request_id, said.approver):
        raise Untrusted("the statement is about another request or by another person")
    if statement.decision != said.decision:
        raise Untrusted("the statement says something else")
    if row.used:
        raise Untrusted("the statement was used before", state="replayed")
    if step.now >= row.not_after:
        raise Refused(
            "the answer came too late", hint="open the request again", state="statement_expired"
        )
    return statement


def _compare_numbers(step: Step, request: Request, statement: Statement) -> None:
    if hmac.compare_digest(statement.number.encode(), request.number.encode()):
        return
    wrong = request.wrong_numbers + 1
    left = MAX_WRONG_NUMBERS - wrong
    step.leaf(
        "number.mismatch",
        request.person,
        statement.approver,
        request=request.request_id,
        approver=statement.approver,
        wrong=wrong,
    )
    _mark_used(step, statement.nonce)
    table = schema.requests
    where = table.c.request_id == request.request_id
    step.run(update(table).where(where).values(wrong_numbers=wrong))
    if left <= 0:
        why = f"the number was wrong {wrong} times"
        requests.move(step, request, RequestEvent.CANCEL, by=MINTER, why=why)
    raise Keep(
        Refused(
            "that is not the number that the asking workstation shows",
            hint=f"{left} tries left" if left > 0 else "the request was cancelled; ask again",
            state="number_mismatch",
            request=request.request_id,
        )
    )


def _mark_used(step: Step, nonce: str) -> None:
    table = schema.statements
    step.run(update(table).where(table.c.nonce == nonce).values(used=True))


def _record(
    step: Step,
    request: Request,
    statement: Statement,
    data: bytes,
    proof: Proof,
    keys: MinterSecrets,
    lacks: tuple[str, ...] = (),
) -> str:
    """Sign the record, log it, then store the decision and use the nonce up."""
    record = sign_record(
        DecisionRecord(data, proof.method, proof.evidence, proof.credential_id), keys.sig
    )
    step.leaf(
        "decision",
        *people_of((request.person, statement.approver), request.deciders),
        request=request.request_id,
        approver=statement.approver,
        decision=statement.decision,
        method=proof.method,
        record=record,
        **({"missing": list(lacks)} if lacks else {}),
    )
    _mark_used(step, statement.nonce)
    step.run(
        insert(schema.decisions).values(
            request_id=request.request_id,
            approver=statement.approver,
            decision=statement.decision,
            method=proof.method,
            credential_id=proof.credential_id,
            seconds=statement.granted.seconds,
            record=record,
            at=step.now,
        )
    )
    return record
