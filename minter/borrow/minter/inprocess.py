"""The minter's port as coroutines, for an approver in the same process (solo mode).

Every method is the `Minter`'s own, run in a thread: SQLite and the cloud block. Mints have threads
of their own: a cloud that hangs must not keep a revocation or a question from being heard.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from borrow.minter.authority import Minter
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
        Passkey,
        PasskeyOptions,
        RelyingParty,
        RequestView,
        SignedIn,
        TotpEnrolment,
    )
    from borrow.protocol.ceremony import Purpose
    from borrow.protocol.decision import Choice, Evidence


MINTS: Final = 16  # calls to the cloud at a time; others wait for one of them to end


class InProcessMinter:
    def __init__(self, minter: Minter) -> None:
        self._minter = minter
        self._mints = ThreadPoolExecutor(MINTS, thread_name_prefix="mint")

    async def keys(self) -> MinterKeys:
        return self._minter.keys()

    async def invite(self, person: str) -> InvitationKey:
        return await asyncio.to_thread(self._minter.invite, person)

    async def register(self, software_statement: str) -> tuple[Device, tuple[Change, ...]]:
        return await asyncio.to_thread(self._minter.register, software_statement)

    async def devices(self) -> tuple[Device, ...]:
        return await asyncio.to_thread(self._minter.devices)

    async def freeze(self, client_id: str, by: str) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.freeze, client_id, by)

    async def unfreeze(self, client_id: str, by: str) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.unfreeze, client_id, by)

    async def accept_request(self, jws: str, client_id: str) -> Accepted:
        return await asyncio.to_thread(self._minter.accept_request, jws, client_id)

    async def request(self, request_id: str) -> RequestView:
        return await asyncio.to_thread(self._minter.request, request_id)

    async def previous(self, request_id: str) -> RequestView | None:
        return await asyncio.to_thread(self._minter.previous, request_id)

    async def requests_for(self, person: str) -> tuple[RequestView, ...]:
        return await asyncio.to_thread(self._minter.requests_for, person)

    async def history(self, person: str) -> tuple[RequestView, ...]:
        return await asyncio.to_thread(self._minter.history, person)

    async def cancel(self, request_id: str, client_id: str) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.cancel, request_id, client_id)

    async def new_statement(
        self,
        request_id: str,
        approver: str,
        decision: Choice,
        *,
        number: str = "",
        seconds: int = 0,
    ) -> bytes:
        return await asyncio.to_thread(
            self._minter.new_statement,
            request_id,
            approver,
            decision,
            number=number,
            seconds=seconds,
        )

    async def accept_decision(
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
        return await asyncio.to_thread(
            self._minter.accept_decision,
            request_id,
            approver,
            client_id,
            decision,
            statement=statement,
            evidence=evidence,
            reason=reason,
        )

    async def report(
        self, subject_id: str, person: str, client_id: str | None
    ) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.report, subject_id, person, client_id)

    async def open_grant(
        self, request_id: str, client_id: str
    ) -> tuple[GrantView, tuple[Change, ...]]:
        return await asyncio.to_thread(self._minter.open_grant, request_id, client_id)

    async def grant(self, grant_id: str) -> GrantView:
        return await asyncio.to_thread(self._minter.grant, grant_id)

    async def grants_for(self, client_id: str | None, person: str) -> tuple[GrantView, ...]:
        return await asyncio.to_thread(self._minter.grants_for, client_id, person)

    async def mint(self, grant_id: str, client_id: str) -> Minted:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._mints, self._minter.mint, grant_id, client_id)

    async def release(self, grant_id: str, client_id: str) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.release, grant_id, client_id)

    async def revoke(self, grant_id: str, by: str, reason: str) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.revoke, grant_id, by, reason)

    async def sweep(self) -> tuple[Change, ...]:
        return await asyncio.to_thread(self._minter.sweep)

    async def totp_begin(self, person: str, client_id: str, sealed_code: str = "") -> TotpEnrolment:
        return await asyncio.to_thread(self._minter.totp_begin, person, client_id, sealed_code)

    async def totp_confirm(self, enrolment_id: str, client_id: str, sealed_code: str) -> None:
        await asyncio.to_thread(self._minter.totp_confirm, enrolment_id, client_id, sealed_code)

    async def totp_active(self, person: str) -> bool:
        return await asyncio.to_thread(self._minter.totp_active, person)

    async def catalogue(self, person: str) -> tuple[dict[str, Any], ...]:
        return await asyncio.to_thread(self._minter.catalogue, person)

    async def log_entries(
        self, start: int, count: int, *, person: str | None = None
    ) -> tuple[LogEntry, ...]:
        return await asyncio.to_thread(self._minter.log_entries, start, count, person=person)

    async def check_log(self) -> LogCheck:
        return await asyncio.to_thread(self._minter.check_log)

    async def tree_head(self) -> str:
        return await asyncio.to_thread(self._minter.tree_head)

    async def relying_party(self) -> RelyingParty | None:
        return self._minter.people.rp

    async def new_ceremony(self, purpose: Purpose, person: str = "") -> bytes:
        return await asyncio.to_thread(self._minter.people.new_ceremony, purpose, person)

    async def sign_in(self, ceremony: bytes, assertion: str) -> SignedIn:
        return await asyncio.to_thread(self._minter.people.sign_in, ceremony, assertion)

    async def passkey_begin(self, invitation: str) -> PasskeyOptions:
        return await asyncio.to_thread(self._minter.people.passkey_begin, invitation)

    async def passkey_add(
        self, invitation: str, attestation: str, name: str
    ) -> tuple[Passkey, tuple[Change, ...]]:
        people = self._minter.people
        return await asyncio.to_thread(people.passkey_add, invitation, attestation, name)

    async def passkeys(self, person: str) -> tuple[Passkey, ...]:
        return await asyncio.to_thread(self._minter.people.passkeys, person)

    async def passkey_is_active(self, credential_id: str) -> bool:
        return await asyncio.to_thread(self._minter.people.passkey_is_active, credential_id)

    async def passkey_remove(self, credential_id: str, person: str) -> tuple[Change, ...]:
        people = self._minter.people
        return await asyncio.to_thread(people.passkey_remove, credential_id, person)

    async def invite_with(
        self, ceremony: bytes, evidence: Evidence, client_id: str | None = None
    ) -> InvitationKey:
        people = self._minter.people
        return await asyncio.to_thread(people.invite_with, ceremony, evidence, client_id)
