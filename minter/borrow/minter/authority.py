"""The minter: every method of the port is one step, verified from the ground up.

This module says in which order things happen; what each of them means is the nouns'. Callers are
not believed: people come from the approver as claims, but a yes counts by its evidence alone, and a
device by its signature. All methods are synchronous, may be called from any thread, and raise only
`BorrowError`. `Change` values are for the caller to turn into notices; those of a call that had to
refuse come with the next `sweep`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from borrow.minter import (
    acceptance,
    decisions,
    devices,
    enrolment,
    grants,
    invitations,
    listings,
    log,
    mints,
    requests,
    schema,
    suspension,
    totp,
)
from borrow.minter.assertions import party_of
from borrow.minter.decisions import Said
from borrow.minter.evidence import Witness
from borrow.minter.people import People
from borrow.minter.port import (
    Accepted,
    Change,
    Device,
    GrantView,
    InvitationKey,
    LogCheck,
    LogEntry,
    Minted,
    MinterKeys,
    Outcome,
    RequestView,
    TotpEnrolment,
)
from borrow.minter.records import (
    active_device,
    device_from,
    grant_view,
    load_device,
    load_grant,
    load_request,
    request_view,
)
from borrow.minter.secret_files import MinterSecrets
from borrow.minter.store import Store, all_leaves, read_head, read_leaves
from borrow.policy.people import canonical
from borrow.protocol.credentials import seal_credentials
from borrow.protocol.errors import BorrowError, Refused, Untrusted
from borrow.protocol.keys import PublicKeys, new_key, pair_pin, public_jwk
from borrow.protocol.request import verify_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from borrow.minter.drivers.base import Driver
    from borrow.minter.store import Reader, Step
    from borrow.policy.model import Policy
    from borrow.protocol.decision import Choice, Evidence

MAX_LOG_PAGE = 1_000  # entries in one answer

__all__ = ["Minter", "MinterSecrets"]


class Minter:
    """One active minter per database; a second one writes the first one's open mints off."""

    def __init__(
        self,
        db: Path,
        *,
        issuer: str,
        keys: MinterSecrets,
        policy: Callable[[], Policy],
        driver: Driver,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        public_url: str = "",
    ) -> None:
        """`public_url` is where people open the pages: passkeys are for its name."""
        self._issuer = issuer
        self._keys = keys
        self._policy = policy
        self._driver = driver
        self._clock = clock
        self._store = Store(db, sign=self._sign_head, entropy=entropy)
        self._judged_by = ""  # the policy that all live grants were held against; none yet
        self.people = People(
            issuer=issuer,
            rp=party_of(public_url or issuer),
            enc=keys.enc,
            policy=policy,
            step=self._step,
            read=self._read,
        )
        with self._step() as step:
            mints.write_off(step)

    def close(self) -> None:
        self._store.close()

    def keys(self) -> MinterKeys:
        return MinterKeys(
            sig=public_jwk(self._keys.sig, "sig"),
            enc=public_jwk(self._keys.enc, "enc"),
            pin=pair_pin(self._keys.sig, self._keys.enc),
        )

    # Devices

    def invite(self, person: str) -> InvitationKey:
        name = devices.known_person(self._policy(), person)
        key = new_key()
        with self._step() as step:
            expires_at = invitations.invite(step, name, key)
        return InvitationKey(name, expires_at, key)

    def register(self, software_statement: str) -> tuple[Device, tuple[Change, ...]]:
        with self._step() as step:
            device = enrolment.register(step, software_statement, issuer=self._issuer)
        return device, tuple(step.changes)

    def devices(self) -> tuple[Device, ...]:
        with self._read() as reader:
            rows = reader.all(select(schema.devices).order_by(schema.devices.c.client_id))
            return tuple(device_from(row) for row in rows)

    def freeze(self, client_id: str, by: str) -> tuple[Change, ...]:
        with self._step() as step:
            device = load_device(step, client_id)
            if device.state == "active":
                suspension.suspend(step, device, "frozen", by=canonical(by), why="frozen")
        return tuple(step.changes)

    def unfreeze(self, client_id: str, by: str) -> tuple[Change, ...]:
        # A name that is nobody's could be the owner in another spelling.
        name = devices.known_person(self._policy(), by) if by else by
        with self._step() as step:
            suspension.unfreeze(step, load_device(step, client_id), by=name)
        return tuple(step.changes)

    # Requests

    def accept_request(self, jws: str, client_id: str) -> Accepted:
        policy = self._policy()
        with self._read() as reader:
            device = active_device(reader, client_id)
        signed = verify_request(
            jws,
            PublicKeys.from_jwks(device.jwks, "sig"),
            client_id=client_id,
            owner=device.owner,
            issuer=self._issuer,
            now=self._clock(),
        )
        with self._step() as step:
            device = active_device(step, client_id)  # it may have been frozen meanwhile
            request, joined = acceptance.accept(step, policy, signed, device, self._keys)
            step.hold_changes()
            return Accepted(request_view(step, request), joined)

    def request(self, request_id: str) -> RequestView:
        with self._read() as reader:
            return request_view(reader, load_request(reader, request_id))

    def previous(self, request_id: str) -> RequestView | None:
        with self._read() as reader:
            return listings.previous(reader, request_id)

    def requests_for(self, person: str) -> tuple[RequestView, ...]:
        with self._read() as reader:
            return listings.requests_for(reader, canonical(person))

    def history(self, person: str) -> tuple[RequestView, ...]:
        with self._read() as reader:
            return listings.history(reader, canonical(person))

    def cancel(self, request_id: str, client_id: str) -> tuple[Change, ...]:
        with self._step() as step:
            requests.cancel(step, request_id, client_id)
        return tuple(step.changes)

    # Decisions

    def new_statement(
        self,
        request_id: str,
        approver: str,
        decision: Choice,
        *,
        number: str = "",
        seconds: int = 0,
    ) -> bytes:
        with self._step() as step:
            statement = decisions.issue_statement(
                step,
                request_id,
                canonical(approver),
                decision,
                issuer=self._issuer,
                number=number,
                seconds=seconds,
            )
            step.hold_changes()
            return statement

    def accept_decision(
        self,
        request_id: str,
        approver: str,
        client_id: str | None,
        decision: Choice,
        *,
        statement: bytes | None = None,
        evidence: Evidence | None = None,
        reason: str = "",
    ) -> tuple[Outcome, tuple[Change, ...]]:
        """`client_id` None: it was said on a page that the approver says they signed in to."""
        policy, keys = self._policy(), self._keys
        said = Said(canonical(approver), decision, statement, evidence, reason)
        with self._step() as step:
            request = decisions.pending(step, request_id)
            decisions.refuse_outsider(request, said.approver, decision)
            device = decisions.device_or_page(step, said.approver, client_id)
            if decision == "approve":
                witness = Witness(said.approver, device, keys.enc, self.people.rp)
                request, record = decisions.approve(step, policy, request, said, witness, keys)
            else:
                request, record = decisions.deny(
                    step, request, said, issuer=self._issuer, keys=keys
                )
                if decision == "report" and suspension.may_report(
                    policy, request.person, said.approver
                ):
                    self._report(step, policy, request_id, said.approver)
            outcome = Outcome(request_view(step, request), record)
        return outcome, tuple(step.changes)

    def report(self, subject_id: str, person: str, client_id: str | None) -> tuple[Change, ...]:
        policy = self._policy()
        with self._step() as step:
            decisions.device_or_page(step, canonical(person), client_id)
            self._report(step, policy, subject_id, canonical(person))
        return tuple(step.changes)

    # Grants

    def open_grant(self, request_id: str, client_id: str) -> tuple[GrantView, tuple[Change, ...]]:
        policy = self._policy()
        with self._step() as step:
            grant, resumed = grants.open_grant(step, policy, request_id, client_id)
            view = grant_view(step, grant, resumed=resumed)
        return view, tuple(step.changes)

    def grant(self, grant_id: str) -> GrantView:
        with self._read() as reader:
            return grant_view(reader, load_grant(reader, grant_id))

    def grants_for(self, client_id: str | None, person: str) -> tuple[GrantView, ...]:
        """The live ones."""
        with self._read() as reader:
            return listings.grants_for(reader, client_id, canonical(person))

    def mint(self, grant_id: str, client_id: str) -> Minted:
        policy = self._policy()
        with self._step() as step:
            begun = mints.begin(step, policy, grant_id, client_id)
            step.hold_changes()
        try:
            made = self._driver.mint(begun.target, begun.facts)
        except BaseException as exc:
            with self._step() as step:
                mints.fail(step, begun, exc.state if isinstance(exc, BorrowError) else "failed")
            raise
        with self._step() as step:
            sealing = mints.end(step, begun, made)
            step.hold_changes()
        now = self._clock()
        if now >= sealing.credentials.expires_at:
            raise Refused("the grant ended just now", hint="ask again", state="grant_exhausted")
        sealed = seal_credentials(
            sealing,
            signer=self._keys.sig,
            to=PublicKeys.from_jwks(begun.device.jwks, "enc").first(),
            issuer=self._issuer,
            client_id=begun.device.client_id,
            now=now,
        )
        credentials = sealing.credentials
        return Minted(sealing.grant_id, sealed, credentials.expires_at, credentials.access_key_id)

    def release(self, grant_id: str, client_id: str) -> tuple[Change, ...]:
        with self._step() as step:
            grants.release(step, grant_id, client_id)
        return tuple(step.changes)

    def revoke(self, grant_id: str, by: str, reason: str) -> tuple[Change, ...]:
        with self._step() as step:
            grants.revoke(step, grant_id, by=canonical(by), reason=reason[: decisions.MAX_REASON])
        return tuple(step.changes)

    def sweep(self) -> tuple[Change, ...]:
        """Move what is due and hand out what refusing calls left. Safety never waits for this."""
        with self._step() as step:
            step.take_held()
            for request in listings.overdue_requests(step):
                requests.due(step, request)
            for grant in listings.overdue_grants(step):
                grants.due(step, grant)
            policy = self._policy()
            if policy.hash != self._judged_by:
                grants.end_forbidden(step, policy)
            old = step.now - acceptance.JTI_KEPT
            step.run(delete(schema.jtis).where(schema.jtis.c.expires_at < old))
        self._judged_by = policy.hash
        return tuple(step.changes)

    # One-time codes

    def totp_begin(self, person: str, client_id: str, sealed_code: str = "") -> TotpEnrolment:
        with self._step() as step:
            device = decisions.deciding_device(step, canonical(person), client_id)
            return totp.begin(step, device, self._keys.enc, sealed_code)

    def totp_confirm(self, enrolment_id: str, client_id: str, sealed_code: str) -> None:
        with self._step() as step:
            device = active_device(step, client_id)
            totp.confirm(step, device, self._keys.enc, enrolment_id, sealed_code)
            step.change(devices.changed("totp_active", device, device.owner))
            step.hold_changes()

    def totp_active(self, person: str) -> bool:
        with self._read() as reader:
            return totp.is_active(reader, canonical(person))

    # What people may see

    def catalogue(self, person: str) -> tuple[dict[str, Any], ...]:
        with self._read() as reader:
            return listings.catalogue(reader, self._policy(), canonical(person))

    def log_entries(
        self, start: int, count: int, *, person: str | None = None
    ) -> tuple[LogEntry, ...]:
        name = None if person is None else canonical(person)
        with self._read() as reader:
            found = read_leaves(reader, max(start, 0), max(min(count, MAX_LOG_PAGE), 0), name)
        return tuple(LogEntry(leaf.seq, leaf.entry, leaf.leaf_hash) for leaf in found)

    def check_log(self) -> LogCheck:
        with self._read() as reader:
            head, token = read_head(reader)
            return log.check(all_leaves(reader), head, self._signed_head(token))

    def tree_head(self) -> str:
        """M's signature over the log's size and root (JWS, `log.HEAD_TYP`); empty before any."""
        with self._read() as reader:
            return read_head(reader)[1]

    def _signed_head(self, token: str) -> tuple[int, str] | None:
        try:
            return log.verify_head(token, PublicKeys([self._keys.sig]), issuer=self._issuer)
        except Untrusted:
            return None

    def _report(self, step: Step, policy: Policy, subject: str, person: str) -> None:
        suspension.report(step, policy, subject, person, issuer=self._issuer, keys=self._keys)

    def _step(self) -> AbstractContextManager[Step]:
        return self._store.step(self._clock)

    def _read(self) -> AbstractContextManager[Reader]:
        return self._store.read(self._clock())

    def _sign_head(self, head: log.Head, now: float) -> str:
        return log.sign_head(head, self._keys.sig, issuer=self._issuer, now=now)
