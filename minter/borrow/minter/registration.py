"""How a passkey joins: an invitation's key, and what the browser answers to a fresh challenge.

The first comes with any invitation. A further one needs its person's own evidence: an invitation
that a passkey of theirs made. One that only an administrator vouches for counts after a day, while
all the person's channels say so (PROTOCOL "Enrolment").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from borrow.minter import ceremonies, invitations, passkeys, schema
from borrow.minter.assertions import ALGORITHMS, challenge_in, credential_id_of, verify_attestation
from borrow.minter.port import Passkey, PasskeyOptions
from borrow.minter.store import Keep
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.keys import thumbprint
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from typing import Any

    from joserfc.jwk import ECKey
    from sqlalchemy import Row

    from borrow.minter.port import RelyingParty
    from borrow.minter.store import Step

RECOVERY_WAIT: Final = 86_400.0  # seconds until one that nobody's own evidence vouched for counts
MAX_NAME: Final = 64  # characters
MOST: Final = 20  # active ones of a person
_HANDLE_BYTES: Final = 32  # Level 3 §5.4.3 recommends 64 random bytes; half does as well


def begin(step: Step, seed: ECKey, *, issuer: str, rp: RelyingParty) -> PasskeyOptions:
    """What the invited person's browser is to sign. Looking at a used invitation harms nobody."""
    row = _invitation(step, seed)
    if row.used_by:
        raise Refused(
            "the invitation was used before", hint=invitations.NEW, state="invitation_used"
        )
    invitations.refuse_expired(step, row)
    data = ceremonies.issue(step, issuer, "register", row.person, invitation=row.pin)
    return PasskeyOptions(
        person=row.person,
        user_handle=_handle_of(step, row.person),
        challenge=b64url(challenge_of(data)),
        rp_id=rp.rp_id,
        exclude=tuple(each.credential_id for each in passkeys.of_person(step, row.person)),
        algorithms=ALGORITHMS,
        expires_at=row.expires_at,
    )


def add(
    step: Step, seed: ECKey, attestation: str, name: str, *, issuer: str, rp: RelyingParty
) -> Passkey:
    """Register the passkey that answers a challenge of `begin` for this very invitation.

    1. the invitation is ours and young; used twice, what used it first goes (but a lost answer may
       be fetched again)
    2. the challenge is one of ours, for this invitation, fresh and used up now
    3. the attestation holds, with user verification
    4. nobody registered this credential before
    """
    row = _invitation(step, seed)
    if row.used_by:
        if again := _sent_again(step, row, attestation):
            return again
        raise Keep(invitations.used_twice(step, row))
    invitations.refuse_expired(step, row)
    ceremony = ceremonies.use(step, challenge_in(attestation), "register", issuer=issuer)
    if (ceremony.person, ceremony.invitation) != (row.person, row.pin):
        raise Untrusted("the passkey answers another invitation", state="passkey_challenge")
    made = verify_attestation(attestation, challenge=challenge_in(attestation), party=rp)
    if step.one(passkeys.by_id(made.credential_id)) is not None:
        raise Refused(
            "this passkey is registered already",
            hint="sign in with it",
            state="wrong_state",
        )
    mine = passkeys.of_person(step, row.person)
    if len(mine) >= MOST:
        raise Refused(
            f"{row.person} has {MOST} passkeys", hint="remove one first", state="too_many"
        )
    waits = bool(mine) and row.made_by != row.person
    passkey = Passkey(
        credential_id=made.credential_id,
        person=row.person,
        name=" ".join(name.split())[:MAX_NAME] or "passkey",
        added_at=step.now,
        counts_from=step.now + (RECOVERY_WAIT if waits else 0.0),
        last_used_at=0.0,
        backed_up=made.backed_up,
        state="active",
    )
    step.leaf(
        "passkey.add",
        passkey.person,
        person=passkey.person,
        passkey=passkeys.short_id(passkey.credential_id),
        name=passkey.name,
        aaguid=made.aaguid,
        invitation=row.pin,
        counts_from=int(passkey.counts_from),
    )
    step.run(
        insert(schema.passkeys).values(
            credential_id=passkey.credential_id,
            person=passkey.person,
            public_key=made.public_key,
            sign_count=made.sign_count,
            name=passkey.name,
            aaguid=made.aaguid,
            backed_up=passkey.backed_up,
            added_at=passkey.added_at,
            counts_from=passkey.counts_from,
            last_used_at=0.0,
            state="active",
        )
    )
    invitations.use_for_passkey(step, row.pin, passkey.credential_id)
    step.change(passkeys.changed("passkey_added", passkey, passkey.person))
    return passkey


def _handle_of(step: Step, person: str) -> str:
    table = schema.user_handles
    row = step.one(select(table).where(table.c.person == person))
    if row is not None:
        return str(row.handle)
    handle = b64url(step.entropy(_HANDLE_BYTES))
    step.run(insert(table).values(person=person, handle=handle))
    return handle


def _sent_again(step: Step, invitation: Row[Any], attestation: str) -> Passkey | None:
    """The passkey that used it, if this is the same answer of the same browser once more."""
    used = invitations.passkey_that_used(invitation)
    if not used or credential_id_of(attestation) != used:
        return None
    mine = passkeys.of_person(step, invitation.person)
    return next((each for each in mine if each.credential_id == used), None)


def _invitation(step: Step, key: ECKey) -> Row[Any]:
    row = invitations.find(step, thumbprint(key))
    if row is None:
        raise Untrusted("that is no invitation of ours", hint=invitations.NEW)
    return row
