"""One-time codes (RFC 6238): enrolment, each code once, and a lock after five wrong ones.

The secret lies in the database sealed to M's own key, so a copy of the file alone makes no code.
Wrong tries count per person, whichever of their devices they came from, and outlive a restart.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import delete, insert, select, update

from borrow.minter import schema
from borrow.minter.port import Device, TotpEnrolment
from borrow.minter.store import Keep
from borrow.protocol.decision import open_totp
from borrow.protocol.errors import Misconfigured, Refused
from borrow.protocol.jose import seal, unseal
from borrow.protocol.keys import PublicKeys
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joserfc.jwk import ECKey
    from sqlalchemy import ColumnElement, Row

    from borrow.minter.store import Reader, Step

SECRET_TYP = "borrow-totp-secret+jwe"  # noqa: S105  a type, not a secret
SECRET_BYTES = 20  # RFC 4226 §4 recommends 160 bits
PERIOD = 30  # seconds of one time step
WINDOW = 1  # steps of drift accepted to either side (RFC 6238 §5.2)
MAX_WRONG = 5
LOCKED_SECONDS = 900.0
ENROLMENT_SECONDS = 600.0
_ID_BYTES = 16


def refuse_locked(step: Reader, device: Device) -> None:
    locked_until = max((row.locked_until for row in _tries_of(step, device.owner)), default=0.0)
    if step.now < locked_until:
        raise _locked(locked_until - step.now)


def use_code(step: Step, device: Device, code: str, enc: ECKey) -> int:
    """The time step of a right and fresh code, stored so that it counts once.

    Raises Refused: `otp_locked`, `otp_wrong` (counted), `otp_reused`; Misconfigured without one.
    """
    refuse_locked(step, device)
    row = step.one(select(schema.totp).where(schema.totp.c.person == device.owner))
    if row is None:
        raise Misconfigured(
            f"{device.owner} has no one-time codes yet", hint="set them up: `borrow totp enrol`"
        )
    secret = unseal(row.sealed_secret, enc, SECRET_TYP)
    matched = matching_step(secret, code, step.now)
    if matched is None:
        raise Keep(_wrong(step, device))
    if matched <= row.last_step:
        raise Refused("that code was used before", hint="wait for the next one", state="otp_reused")
    step.leaf("totp.use", device.owner, person=device.owner, device=device.client_id, step=matched)
    where = schema.totp.c.person == device.owner
    step.run(update(schema.totp).where(where).values(last_step=matched))
    _forget_tries(step, device)
    return matched


def matching_step(secret: bytes, code: str, now: float) -> int | None:
    """The time step, at most one beside the present, whose code is `code`."""
    import pyotp

    generator = pyotp.HOTP(base64.b32encode(secret).decode("ascii"))
    present = int(now) // PERIOD
    found = None
    for candidate in range(present - WINDOW, present + WINDOW + 1):
        if candidate >= 0 and hmac.compare_digest(generator.at(candidate).encode(), code.encode()):
            found = candidate
    return found


def begin(step: Step, device: Device, enc: ECKey, sealed_code: str) -> TotpEnrolment:
    """A fresh secret for the device's owner, sealed to the device; active after one code.

    With codes active already, `sealed_code` is one of them, tied to the bytes of the client id:
    a stolen device alone must not replace its owner's other factor.
    """
    if is_active(step, device.owner):
        if not sealed_code:
            raise Refused(
                "one-time codes are set up already",
                hint="give a code of the old set to replace it",
                state="otp_required",
            )
        keys = PublicKeys.from_jwks(device.jwks, "sig")
        refuse_locked(step, device)
        code, _ = open_totp(sealed_code, enc, keys, device.client_id.encode())
        use_code(step, device, code, enc)
    secret = step.entropy(SECRET_BYTES)
    enrolment_id, expires_at = b64url(step.entropy(_ID_BYTES)), step.now + ENROLMENT_SECONDS
    step.leaf("totp.begin", device.owner, person=device.owner, device=device.client_id)
    table = schema.totp_enrolments
    step.run(delete(table).where(table.c.person == device.owner))  # one at a time
    step.run(
        insert(table).values(
            enrolment_id=enrolment_id,
            person=device.owner,
            client_id=device.client_id,
            sealed_secret=seal(secret, enc, SECRET_TYP),
            expires_at=expires_at,
        )
    )
    to = PublicKeys.from_jwks(device.jwks, "enc").first()
    sealed = seal(json.dumps(_shown(secret, device.owner)), to, SECRET_TYP)
    return TotpEnrolment(enrolment_id, sealed, expires_at)


def confirm(step: Step, device: Device, enc: ECKey, enrolment_id: str, sealed_code: str) -> None:
    """Make the secret active if the sealed code belongs to it; wrong ones count to the lock."""
    table = schema.totp_enrolments
    row = step.one(select(table).where(table.c.enrolment_id == enrolment_id))
    if row is None or row.client_id != device.client_id or step.now >= row.expires_at:
        raise Refused(
            "there is no such set-up of one-time codes, or it took too long",
            hint="start again: `borrow totp enrol`",
            state="unknown_enrolment",
        )
    refuse_locked(step, device)
    keys = PublicKeys.from_jwks(device.jwks, "sig")
    code, _ = open_totp(sealed_code, enc, keys, enrolment_id.encode())
    matched = matching_step(unseal(row.sealed_secret, enc, SECRET_TYP), code, step.now)
    if matched is None:
        raise Keep(_wrong(step, device))
    step.leaf("totp.active", device.owner, person=device.owner, device=device.client_id)
    step.run(delete(table).where(table.c.enrolment_id == enrolment_id))
    step.run(delete(schema.totp).where(schema.totp.c.person == device.owner))
    step.run(
        insert(schema.totp).values(
            person=device.owner, sealed_secret=row.sealed_secret, last_step=matched
        )
    )
    _forget_tries(step, device)


def is_active(reader: Reader, person: str) -> bool:
    return (
        reader.one(select(schema.totp.c.person).where(schema.totp.c.person == person)) is not None
    )


def _shown(secret: bytes, person: str) -> dict[str, str]:
    """What the device turns into a QR code (the Key URI format of authenticator apps)."""
    text = base64.b32encode(secret).decode("ascii")
    uri = f"otpauth://totp/Borrow:{quote(person, safe='@')}?secret={text}&issuer=Borrow"
    return {"secret": text, "uri": uri}


def _wrong(step: Step, device: Device) -> Refused:
    """Count one wrong code; the person's fifth locks their codes, on every device of theirs."""
    table = schema.totp_tries
    counted = {
        row.client_id: row.wrong
        for row in _tries_of(step, device.owner)
        if not row.locked_until  # a lock that is over has wiped the slate
    }
    wrong = 1 + sum(counted.values())
    locked_until = step.now + LOCKED_SECONDS if wrong >= MAX_WRONG else 0.0
    step.leaf(
        "totp.locked" if locked_until else "totp.wrong",
        device.owner,
        person=device.owner,
        device=device.client_id,
        wrong=wrong,
    )
    here = 1 + counted.get(device.client_id, 0)
    gone = _here(device) if not locked_until else table.c.person == device.owner
    step.run(delete(table).where(gone))
    step.run(
        insert(table).values(
            person=device.owner, client_id=device.client_id, wrong=here, locked_until=locked_until
        )
    )
    if locked_until:
        return _locked(LOCKED_SECONDS)
    return Refused(
        "that code is not right", hint=f"{MAX_WRONG - wrong} tries left", state="otp_wrong"
    )


def _locked(seconds: float) -> Refused:
    return Refused(
        f"too many wrong codes: locked for another {max(1, round(seconds / 60))} minutes",
        state="otp_locked",
    )


def _tries_of(reader: Reader, person: str) -> Sequence[Row[Any]]:
    return reader.all(select(schema.totp_tries).where(schema.totp_tries.c.person == person))


def _forget_tries(step: Step, device: Device) -> None:
    """A right code. What another device guessed wrong stays: a thief waits for its person's."""
    step.run(delete(schema.totp_tries).where(_here(device)))


def _here(device: Device) -> ColumnElement[bool]:
    table = schema.totp_tries
    return (table.c.person == device.owner) & (table.c.client_id == device.client_id)
