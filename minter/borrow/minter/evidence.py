"""Evidence: proofs that one person, on one of their devices, said exactly these bytes.

`device` is another person's device key, `consent` the requester's own, `totp` a code that a device
of the requester tied to the statement and sealed to M, `passkey` a WebAuthn assertion whose
challenge is the statement's hash. Kinds are a set, never a ladder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.minter import passkeys, totp
from borrow.policy.model import Tier
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.decision import open_totp, verify_consent, verify_statement_signature
from borrow.protocol.errors import Refused
from borrow.protocol.keys import PublicKeys

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.minter.port import Device, RelyingParty
    from borrow.minter.records import Request
    from borrow.minter.store import Step
    from borrow.protocol.decision import Evidence, Method


@dataclass(frozen=True, slots=True)
class Proof:
    """What the record keeps. `code` is a TOTP code still to be judged, and is never kept."""

    method: Method
    evidence: str  # detached JWS over the statement; for totp the time step; for passkey its parts
    credential_id: str  # thumbprint of the device key, or the passkey's id
    code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Witness:
    """What a person decides with: a device of theirs, or (None) a page that they signed in to."""

    person: str
    device: Device | None
    enc: ECKey  # M's own: opens sealed codes
    rp: RelyingParty | None

    def verify(self, step: Step, request: Request, evidence: Evidence, data: bytes) -> Proof:
        """Check who signed `data`, or raise; a code in it is left to `confirm`."""
        if evidence.kind == "passkey":
            said = passkeys.prove(
                step, evidence.token, challenge_of(data), passkeys.needed(self.rp)
            )
            if said.passkey.person != self.person:
                raise Refused(
                    "that is another person's passkey",
                    hint="sign in as that person, or use one of your own",
                    state="not_a_decider",
                )
            return Proof("passkey", said.kept, said.passkey.credential_id)
        return self._by_device(step, request, evidence, data)

    def _by_device(self, step: Step, request: Request, evidence: Evidence, data: bytes) -> Proof:
        device = self._its_device()
        keys = PublicKeys.from_jwks(device.jwks, "sig")
        own = device.owner == request.person
        match evidence.kind:
            case "totp":
                self._refuse_unless(own=own, kind="totp")
                totp.refuse_locked(step, device)
                code, kid = open_totp(evidence.token, self.enc, keys, data)
                return Proof("totp", "", kid, code)
            case "consent":
                self._refuse_unless(own=own, kind="consent")
                if Tier(request.tier).at_least(Tier.SENSITIVE):
                    raise Refused("a click does not count for this role", state="factor")
                kid = verify_consent(evidence.token, keys, data)
                return Proof("consent", detached(evidence.token), kid)
            case "device":
                if own:
                    raise Refused("somebody else has to approve this", state="self_approval")
                kid = verify_statement_signature(evidence.token, keys, data)
                return Proof("device", detached(evidence.token), kid)
            case _:
                raise Refused("a device cannot give that evidence", state="factor")

    def confirm(self, step: Step, proof: Proof) -> Proof:
        """Judge the code, if there is one; a wrong one is counted and raised."""
        if proof.method != "totp":
            return proof
        step_used = totp.use_code(step, self._its_device(), proof.code, self.enc)
        return Proof("totp", str(step_used), proof.credential_id)

    def _its_device(self) -> Device:
        if self.device is None:
            raise Refused("a page gives evidence by a passkey only", state="factor")
        return self.device

    def _refuse_unless(self, *, own: bool, kind: str) -> None:
        if not own:
            raise Refused(f"{kind} counts for one's own requests only", state="factor")


def detached(token: str) -> str:
    """RFC 7515 appendix F: the payload stands beside it in the record, as `statement`."""
    header, _, signature = token.split(".")
    return f"{header}..{signature}"
