"""The tables of `minter.db`, the authority for everything a credential follows from.

Times are unix seconds. Texts that a client typed are kept as they came and shown escaped elsewhere.
A change here comes with a migration in `migrations/versions` and a new `HEAD`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

HEAD = "0003"  # the newest migration: a database that says so is opened without alembic

metadata = MetaData()

log = Table(  # append-only, by trigger too; `log.py` says what an entry is
    "log",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("leaf_hash", String(64), nullable=False),
)

log_people = Table(  # who is named by an entry: an index, not evidence
    "log_people",
    metadata,
    Column("person", String, primary_key=True),
    Column("seq", Integer, ForeignKey("log.seq"), primary_key=True),
)

log_head = Table(  # one row: how long the log must be, signed by M
    "log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("last_leaf", String(64), nullable=False),
    Column("peaks", JSON, nullable=False),
    Column("token", Text, nullable=False),
)

held_changes = Table(  # changes made by a call that had to refuse; `sweep` hands them out
    "held_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("change", JSON, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("pin", String, primary_key=True),  # thumbprint of the one-time key
    Column("person", String, nullable=False),
    Column("jwk", JSON, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_by", String, nullable=False, default=""),
    Column("made_by", String, nullable=False, server_default=""),  # "" = the administrator's socket
)

devices = Table(
    "devices",
    metadata,
    Column("client_id", String, primary_key=True),
    Column("owner", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("jwks", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("added_at", Float, nullable=False),
)

device_keys = Table(  # a key belongs to one device for ever, whoever tries to register it again
    "device_keys",
    metadata,
    Column("kid", String, primary_key=True),
    Column("client_id", String, ForeignKey("devices.client_id"), nullable=False),
)

jtis = Table(  # of request objects; kept longer than any of them is accepted
    "jtis",
    metadata,
    Column("client_id", String, ForeignKey("devices.client_id"), primary_key=True),
    Column("jti", String, primary_key=True),
    Column("expires_at", Integer, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", String, primary_key=True),
    Column("request_hash", String, nullable=False),
    Column("client_id", String, ForeignKey("devices.client_id"), nullable=False),
    Column("person", String, nullable=False),
    Column("jws", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("role", String, nullable=False),
    Column("arn", String, nullable=False),
    Column("seconds", Integer, nullable=False),  # asked, at most the rule's maximum
    Column("session_policy", Text, nullable=False),
    Column("justification", Text, nullable=False),
    Column("ticket", Text, nullable=False),
    Column("account", String, nullable=False),
    Column("tier", String, nullable=False),
    Column("share", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("policy_hash", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("factors", JSON, nullable=False),
    Column("number_match", Boolean, nullable=False),
    Column("every", Boolean, nullable=False, server_default=false()),  # a yes takes all `factors`
    Column("k", Integer, nullable=False),
    Column("deciders", JSON, nullable=False),
    Column("number", String, nullable=False),
    Column("words", String, nullable=False),
    Column("context", JSON, nullable=False),
    Column("group", String, nullable=False),
    Column("via", String, nullable=False),
    Column("agent", String, nullable=False),
    Column("extends", String, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("mint_seconds", Integer, nullable=False),
    Column("deny_iam", Boolean, nullable=False),
    Column("pending_until", Float, nullable=False),
    Column("claim_seconds", Integer, nullable=False),
    Column("claim_until", Float, nullable=False),  # 0 until approved
    Column("wrong_numbers", Integer, nullable=False),
    Column("ended_at", Float, nullable=False),  # 0 until final
    Column("reason", Text, nullable=False),
    Column("earlier_denials", Integer, nullable=False),
    Column("grant_id", String, nullable=False),
    Index("requests_of_client", "client_id", "role", "state"),
    Index("requests_by_rule", "person", "rule", "asked_at"),
    Index("requests_by_state", "state"),
)

statements = Table(  # issued and not yet used; used ones live on in their decision
    "statements",
    metadata,
    Column("nonce", String, primary_key=True),
    Column("request_id", String, ForeignKey("requests.request_id"), nullable=False),
    Column("approver", String, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("not_after", Integer, nullable=False),
    Column("used", Boolean, nullable=False),
    Index("statements_of_request", "request_id", "approver"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", String, ForeignKey("requests.request_id"), nullable=False),
    Column("approver", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("method", String, nullable=False),
    Column("credential_id", String, nullable=False, server_default=""),  # the key it was given with
    Column("seconds", Integer, nullable=False),
    Column("record", Text, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("request_id", "approver", "decision", "method", name="one_voice_each"),
)

grants = Table(
    "grants",
    metadata,
    Column("grant_id", String, primary_key=True),
    Column("request_id", String, ForeignKey("requests.request_id"), nullable=False, unique=True),
    Column("client_id", String, ForeignKey("devices.client_id"), nullable=False),
    Column("person", String, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("extension", Integer, nullable=False),  # 0 = a first grant, 1 = extended once, …
    Column("opened_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("state", String, nullable=False),
    Column("ended_at", Float, nullable=False),  # 0 until final
    Column("ended_by", String, nullable=False),
    Column("reason", Text, nullable=False),
    Index("grants_of_client", "client_id", "state"),
    Index("grants_of_person", "person", "state"),
)

mints = Table(
    "mints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("grant_id", String, ForeignKey("grants.grant_id"), nullable=False),
    Column("state", String, nullable=False),  # open, then ended or lost
    Column("begun_at", Float, nullable=False),
    Index("mints_by_state", "state"),
)

totp = Table(
    "totp",
    metadata,
    Column("person", String, primary_key=True),
    Column("sealed_secret", Text, nullable=False),  # to M's own enc key
    Column("last_step", Integer, nullable=False),
)

totp_enrolments = Table(
    "totp_enrolments",
    metadata,
    Column("enrolment_id", String, primary_key=True),
    Column("person", String, nullable=False),
    Column("client_id", String, ForeignKey("devices.client_id"), nullable=False),
    Column("sealed_secret", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
)

totp_tries = Table(  # wrong codes in a row, and the lock they lead to; outlives a restart
    "totp_tries",
    metadata,
    Column("person", String, primary_key=True),
    Column("client_id", String, ForeignKey("devices.client_id"), primary_key=True),
    Column("wrong", Integer, nullable=False),
    Column("locked_until", Float, nullable=False),
)

user_handles = Table(  # WebAuthn's name of a person: random, so that a passkey tells nobody's name
    "user_handles",
    metadata,
    Column("person", String, primary_key=True),
    Column("handle", String, nullable=False, unique=True),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("credential_id", String, primary_key=True),
    Column("person", String, nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),  # COSE
    Column("sign_count", Integer, nullable=False),
    Column("name", String, nullable=False),
    Column("aaguid", String, nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("added_at", Float, nullable=False),
    Column("counts_from", Float, nullable=False),
    Column("last_used_at", Float, nullable=False),  # 0 until it was
    Column("state", String, nullable=False),
)

ceremonies = Table(  # issued challenges of sign-ins, invitations and registrations
    "ceremonies",
    metadata,
    Column("challenge", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("not_after", Float, nullable=False),
    Column("used", Boolean, nullable=False),
)
