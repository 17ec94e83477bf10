"""The minter's port where it is about people: passkeys, signing in, invitations with evidence.

As in `authority.py` every method is one step that believes nobody: an approver's word for who signs
in or invites is worth nothing without the assertion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.minter import (
    ceremonies,
    decisions,
    devices,
    invitations,
    passkeys,
    registration,
    suspension,
    totp,
)
from borrow.minter.port import InvitationKey, Passkey, PasskeyOptions, RelyingParty, SignedIn
from borrow.minter.records import load_device
from borrow.policy.people import canonical
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.decision import open_totp
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.keys import PublicKeys, key_from_seed, new_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from joserfc.jwk import ECKey

    from borrow.minter.port import Change
    from borrow.minter.store import Reader, Step
    from borrow.policy.model import Policy
    from borrow.protocol.ceremony import Purpose
    from borrow.protocol.decision import Evidence


class People:
    """Made by the `Minter`, and shares its store. `rp` is None where no passkeys are possible."""

    def __init__(
        self,
        *,
        issuer: str,
        rp: RelyingParty | None,
        enc: ECKey,
        policy: Callable[[], Policy],
        step: Callable[[], AbstractContextManager[Step]],
        read: Callable[[], AbstractContextManager[Reader]],
    ) -> None:
        self._issuer = issuer
        self.rp = rp
        self._enc = enc
        self._policy = policy
        self._step = step
        self._read = read

    def new_ceremony(self, purpose: Purpose, person: str = "") -> bytes:
        """Bytes whose SHA-256 is the challenge; for `invite` with whom it is to be."""
        passkeys.needed(self.rp)
        if purpose == "register":
            raise Untrusted("a registration begins with its invitation")
        name = devices.known_person(self._policy(), person) if purpose == "invite" else ""
        with self._step() as step:
            return ceremonies.issue(step, self._issuer, purpose, name)

    def sign_in(self, ceremony: bytes, assertion: str) -> SignedIn:
        """Who is there. The policy must know them still."""
        rp, challenge = passkeys.needed(self.rp), challenge_of(ceremony)
        with self._step() as step:
            ceremonies.use(step, challenge, "sign-in", issuer=self._issuer)
            said = passkeys.prove(step, assertion, challenge, rp)
            person = devices.known_person(self._policy(), said.passkey.person)
            short = passkeys.short_id(said.passkey.credential_id)
            step.leaf("passkey.sign_in", person, person=person, passkey=short)
        return SignedIn(person, said.passkey.credential_id)

    def passkey_begin(self, invitation: str) -> PasskeyOptions:
        """`invitation` is the seed of the one-time key, as the link's fragment has it."""
        rp = passkeys.needed(self.rp)
        seed = key_from_seed(invitation)
        with self._step() as step:
            return registration.begin(step, seed, issuer=self._issuer, rp=rp)

    def passkey_add(
        self, invitation: str, attestation: str, name: str
    ) -> tuple[Passkey, tuple[Change, ...]]:
        rp, seed = passkeys.needed(self.rp), key_from_seed(invitation)
        with self._step() as step:
            passkey = registration.add(step, seed, attestation, name, issuer=self._issuer, rp=rp)
        return passkey, tuple(step.changes)

    def passkeys(self, person: str) -> tuple[Passkey, ...]:
        with self._read() as reader:
            return passkeys.of_person(reader, canonical(person))

    def passkey_is_active(self, credential_id: str) -> bool:
        """And of somebody whom the policy knows still: sessions hang on it, and pushes."""
        policy = self._policy()
        with self._read() as reader:
            person = passkeys.person_of(reader, credential_id)
        return person is not None and devices.is_named(policy, person)

    def passkey_remove(self, credential_id: str, person: str) -> tuple[Change, ...]:
        """One's own: taking a key away harms nobody for long, so it needs no evidence."""
        name = canonical(person)
        with self._step() as step:
            passkeys.remove(step, credential_id, name, by=name, why="removed")
        return tuple(step.changes)

    def invite_with(
        self, ceremony: bytes, evidence: Evidence, client_id: str | None = None
    ) -> InvitationKey:
        """An invitation for the ceremony's person, by evidence of their own or of an admin.

        Evidence is a passkey's assertion over the ceremony, or a one-time code that the person's
        own device (`client_id`) tied to it and sealed to M. A wrong code counts.
        """
        policy, key = self._policy(), new_key()
        with self._step() as step:
            wanted = ceremonies.use(step, challenge_of(ceremony), "invite", issuer=self._issuer)
            by = self._proven(step, ceremony, evidence, wanted.person, client_id)
            if by != wanted.person and by not in policy.admins:
                raise Refused(
                    "only an admin invites others",
                    hint="ask one of the policy's [admins]",
                    state="not_a_decider",
                )
            name = devices.known_person(policy, wanted.person)
            expires_at = invitations.invite(step, name, key, made_by=by)
        return InvitationKey(name, expires_at, key)

    def unfreeze_own(self, client_id: str, code: str = "") -> None:
        """For solo mode, where nobody else is: a fresh one-time code, if the person has any.

        No approver may call it: in a team another person unfreezes.
        """
        with self._step() as step:
            device = load_device(step, client_id)
            how = "by its only person"
            if totp.is_active(step, device.owner):
                totp.use_code(step, device, code, self._enc)
                how += ", with a one-time code"
            suspension.unfreeze(step, device, by=device.owner, alone=how)
            step.hold_changes()  # for the next sweep to tell

    def _proven(
        self, step: Step, ceremony: bytes, evidence: Evidence, person: str, client_id: str | None
    ) -> str:
        """Who gave the evidence over exactly `ceremony`."""
        if evidence.kind == "passkey":
            rp = passkeys.needed(self.rp)
            said = passkeys.prove(step, evidence.token, challenge_of(ceremony), rp)
            return said.passkey.person
        if evidence.kind != "totp" or client_id is None:
            raise Refused(
                "that needs a passkey or a one-time code",
                hint="set codes up: `borrow totp enrol`",
                state="factor",
            )
        device = decisions.deciding_device(step, person, client_id)
        totp.refuse_locked(step, device)
        keys = PublicKeys.from_jwks(device.jwks, "sig")
        code, _ = open_totp(evidence.token, self._enc, keys, ceremony)
        totp.use_code(step, device, code, self._enc)
        return device.owner
