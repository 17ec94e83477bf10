"""The minter's port: values that cross it, JSON-able, so that it can become a Unix socket.

The approver declares the methods it uses (`borrow.approver.ports.MinterPort`); these are the
arguments and results. Nothing here is trusted for being an object: the minter verifies every token
and statement it is given by itself (PROTOCOL "Parties and keys").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.ids import ClientId, GrantId, RequestId
    from borrow.protocol.lifecycle import GrantState, RequestState
    from borrow.protocol.request import AwsRole

Mode = Literal["auto", "self", "peer"]
DeviceState = Literal["active", "frozen", "removed"]
PasskeyState = Literal["active", "removed"]


@dataclass(frozen=True, slots=True)
class MinterKeys:
    """M's public keys as JWKs; `pin` covers both (`protocol.keys.pair_pin`): devices keep it."""

    sig: dict[str, str]
    enc: dict[str, str]
    pin: str


@dataclass(frozen=True, slots=True)
class InvitationKey:
    """A one-time key for `person`, kept by the minter as its public half until `expires_at`."""

    person: str
    expires_at: float
    key: ECKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device: OAuth client with exactly one owner. `jwks` holds public keys."""

    client_id: ClientId
    owner: str
    name: str
    jwks: dict[str, Any]
    state: DeviceState


@dataclass(frozen=True, slots=True)
class Half:
    """A part of one person's yes, which counts for nothing until the rest is there too."""

    approver: str
    given: tuple[str, ...]  # kinds of evidence
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request as people may see it: from the signed bytes, plus labels the policy derived.

    `number` is the digits the device chose: a page or inbox shows it in mode `peer` only, never in
    mode `self`. `context` is the device's claim. Times are unix seconds. `every`: a yes takes each
    of `factors` from the same person. `decided_by` names whole voices only, `halves` the others.
    """

    request_id: RequestId
    request_hash: str
    client_id: ClientId
    person: str
    state: RequestState
    role: AwsRole
    account: str
    tier: str
    share: str
    rule: str
    mode: Mode
    factors: tuple[str, ...]
    match: bool
    deciders: tuple[str, ...]
    number: str
    words: str
    context: dict[str, Any]
    extends: str
    asked_at: float
    pending_until: float
    claim_until: float  # 0 until approved
    decided_by: tuple[str, ...]
    reason: str  # of a denial, as typed
    earlier_denials: int
    grant_id: GrantId | None
    jws: str = field(default="", repr=False)  # the request as its device signed it
    every: bool = False
    halves: tuple[Half, ...] = ()


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer to `accept_request`. `joined` says an equal request was there already (resume)."""

    view: RequestView
    joined: bool


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant. `expires_at` is its end in unix seconds; nothing is minted or served at or after."""

    grant_id: GrantId
    request_id: RequestId
    request_hash: str
    client_id: ClientId
    person: str
    role: AwsRole
    tier: str
    share: str
    group: str
    mode: Mode
    methods: tuple[str, ...]  # how each yes was proven; becomes `amr`
    approvers: tuple[str, ...]
    opened_at: float
    expires_at: float
    state: GrantState
    resumed: bool = False  # this call attached to a grant that was open already


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision did. `record` is M's JWS, empty for a decision that changed nothing."""

    view: RequestView
    record: str


@dataclass(frozen=True, slots=True)
class Minted:
    """`sealed` opens on the asking device only."""

    grant_id: GrantId
    sealed: str
    expires_at: int
    access_key_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened on its own or as a side effect, for notices and events.

    `kind`: request_denied, request_expired, request_lapsed, request_cancelled, request_revoked,
    request_half (for whoever said it: the rest of their yes is missing), grant_opened,
    grant_resumed, grant_expired, grant_released, grant_revoked, device_frozen, device_unfrozen,
    device_removed, device_added, totp_active (a person has new one-time codes), passkey_added,
    passkey_removed.
    """

    kind: str
    person: str
    client_id: str
    subject: str  # grant:g-… | request:r-… | device:d-… | passkey:<credential id>
    role: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TotpEnrolment:
    """`sealed` is a JWE (typ `borrow-totp-secret+jwe`) to the device: JSON `{secret, uri}`."""

    enrolment_id: str
    sealed: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom a passkey is for: `rp_id` is a host's name, `origin` scheme, host and port exactly."""

    rp_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered passkey. `credential_id` is base64url; it counts from `counts_from` on."""

    credential_id: str
    person: str
    name: str
    added_at: float
    counts_from: float
    last_used_at: float  # 0 until it was used
    backed_up: bool  # its maker keeps a copy, so that a lost phone loses nothing
    state: PasskeyState


@dataclass(frozen=True, slots=True)
class PasskeyOptions:
    """What a page gives to `navigator.credentials.create`; bytes are base64url."""

    person: str
    user_handle: str
    challenge: str
    rp_id: str
    exclude: tuple[str, ...]  # the person's passkeys that are there already
    algorithms: tuple[int, ...]  # COSE
    expires_at: float


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who proved to be there, and with which passkey."""

    person: str
    credential_id: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One leaf: `entry` is the exact bytes (JSON text) hashed per RFC 9162 §2.1.1."""

    seq: int
    entry: str
    leaf_hash: str


@dataclass(frozen=True, slots=True)
class LogCheck:
    """Result of verifying the log: `bad_seq` names the first bad entry, or is None."""

    size: int
    root: str
    bad_seq: int | None
    why: str
