"""Evidence: proofs that one person, on one of their devices, said exactly these bytes.

`device` is another person's device key, `consent` the requester's own, `totp` a code that a device
of the requester tied to the statement and sealed to M. Kinds are a set, never a ladder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.minter import totp
from borrow.policy.model import Tier
from borrow.protocol.decision import open_totp, verify_statement_signature
from borrow.protocol.errors import Refused
from borrow.protocol.keys import PublicKeys

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.minter.port import Device
    from borrow.minter.records import Request
    from borrow.minter.store import Step
    from borrow.protocol.decision import Evidence, Method


@dataclass(frozen=True, slots=True)
class Proof:
    """What the record keeps. `code` is a TOTP code still to be judged, and is never kept."""

    method: Method
    evidence: str  # the detached JWS over the statement; for totp the time step
    credential_id: str  # thumbprint of the device key
    code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Witness:
    """The device through which a decision came; it belongs to the person who decides."""

    device: Device
    enc: ECKey  # M's own: opens sealed codes

    def verify(self, step: Step, request: Request, evidence: Evidence, data: bytes) -> Proof:
        """Check who signed `data`, or raise; a code in it is left to `confirm`."""
        keys = PublicKeys.from_jwks(self.device.jwks, "sig")
        own = self.device.owner == request.person
        match evidence.kind:
            case "totp":
                self._refuse_unless(own=own, kind="totp")
                totp.refuse_locked(step, self.device)
                code, kid = open_totp(evidence.token, self.enc, keys, data)
                return Proof("totp", "", kid, code)
            case "consent":
                self._refuse_unless(own=own, kind="consent")
                if Tier(request.tier).at_least(Tier.SENSITIVE):
                    raise Refused("a click does not count for this role", state="factor")
                kid = verify_statement_signature(evidence.token, keys, data)
                return Proof("consent", detached(evidence.token), kid)
            case "device":
                if own:
                    raise Refused("somebody else has to approve this", state="self_approval")
                kid = verify_statement_signature(evidence.token, keys, data)
                return Proof("device", detached(evidence.token), kid)

    def confirm(self, step: Step, proof: Proof) -> Proof:
        """Judge the code, if there is one; a wrong one is counted and raised."""
        if proof.method != "totp":
            return proof
        step_used = totp.use_code(step, self.device, proof.code, self.enc)
        return Proof("totp", str(step_used), proof.credential_id)

    def _refuse_unless(self, *, own: bool, kind: str) -> None:
        if not own:
            raise Refused(f"{kind} counts for one's own requests only", state="factor")


def detached(token: str) -> str:
    """RFC 7515 appendix F: the payload stands beside it in the record, as `statement`."""
    header, _, signature = token.split(".")
    return f"{header}..{signature}"
