"""What the approver needs of the minter: the methods it calls, and no more.

`borrow.minter.inprocess.InProcessMinter` is one of these; a client of the minter's Unix socket is
another. Every method raises only `BorrowError`, and the minter verifies all it is given by itself:
nothing that the approver checked before makes it trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
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

Changes = tuple["Change", ...]


class MinterPort(Protocol):
    """The values are those of `borrow.minter.port`; times are unix seconds."""

    async def keys(self) -> MinterKeys: ...

    async def invite(self, person: str) -> InvitationKey: ...

    async def register(self, software_statement: str) -> tuple[Device, Changes]: ...

    async def devices(self) -> tuple[Device, ...]: ...

    async def freeze(self, client_id: str, by: str) -> Changes: ...

    async def unfreeze(self, client_id: str, by: str) -> Changes: ...

    async def accept_request(self, jws: str, client_id: str) -> Accepted: ...

    async def request(self, request_id: str) -> RequestView: ...

    async def previous(self, request_id: str) -> RequestView | None: ...

    async def requests_for(self, person: str) -> tuple[RequestView, ...]: ...

    async def history(self, person: str) -> tuple[RequestView, ...]: ...

    async def grants_for(self, client_id: str | None, person: str) -> tuple[GrantView, ...]: ...

    async def new_statement(
        self,
        request_id: str,
        approver: str,
        decision: Choice,
        *,
        number: str = "",
        seconds: int = 0,
    ) -> bytes: ...

    async def accept_decision(
        self,
        request_id: str,
        approver: str,
        client_id: str | None,
        decision: Choice,
        *,
        statement: bytes | None,
        evidence: Evidence | None,
        reason: str = "",
    ) -> tuple[Outcome, Changes]: ...

    async def report(self, subject_id: str, person: str, client_id: str | None) -> Changes: ...

    async def cancel(self, request_id: str, client_id: str) -> Changes: ...

    async def open_grant(self, request_id: str, client_id: str) -> tuple[GrantView, Changes]: ...

    async def grant(self, grant_id: str) -> GrantView: ...

    async def mint(self, grant_id: str, client_id: str) -> Minted: ...

    async def release(self, grant_id: str, client_id: str) -> Changes: ...

    async def revoke(self, grant_id: str, by: str, reason: str) -> Changes: ...

    async def sweep(self) -> Changes: ...

    async def catalogue(self, person: str) -> tuple[dict[str, Any], ...]: ...

    async def totp_begin(
        self, person: str, client_id: str, sealed_code: str = ""
    ) -> TotpEnrolment: ...

    async def totp_confirm(self, enrolment_id: str, client_id: str, sealed_code: str) -> None: ...

    async def totp_active(self, person: str) -> bool: ...

    async def log_entries(
        self, start: int, count: int, *, person: str | None
    ) -> tuple[LogEntry, ...]: ...

    async def check_log(self) -> LogCheck: ...

    # People, for their pages. An assertion is the JSON text of `PublicKeyCredential.toJSON()`.

    async def relying_party(self) -> RelyingParty | None: ...

    async def new_ceremony(self, purpose: Purpose, person: str = "") -> bytes: ...

    async def sign_in(self, ceremony: bytes, assertion: str) -> SignedIn: ...

    async def passkey_begin(self, invitation: str) -> PasskeyOptions: ...

    async def passkey_add(
        self, invitation: str, attestation: str, name: str
    ) -> tuple[Passkey, Changes]: ...

    async def passkeys(self, person: str) -> tuple[Passkey, ...]: ...

    async def passkey_is_active(self, credential_id: str) -> bool: ...

    async def passkey_remove(self, credential_id: str, person: str) -> Changes: ...

    async def invite_with(
        self, ceremony: bytes, evidence: Evidence, client_id: str | None = None
    ) -> InvitationKey: ...
