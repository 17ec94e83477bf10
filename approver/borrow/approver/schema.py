"""The tables of approver.db. It can be lost and rebuilt: nothing mintable follows from it.

Tokens are stored as SHA-256 only. Times are unix seconds. `HEAD` is the migration that makes
exactly these tables; a test keeps both equal.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text

HEAD = "0003"

metadata = MetaData()

version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))

# One row per answer of /bc-authorize. Several may name one request (a joined one).
auth_requests = Table(
    "auth_requests",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("redeemed_at", Float),
)

# One grant has at most one live token, so a new one kills the old one by being written.
grants = Table(
    "grants",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("token_hash", Text, unique=True),
    Column("over", Boolean, nullable=False),
    Index("grants_by_client", "client_id"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("access_tokens_by_client", "client_id"),
)

# A client assertion counts once: kept until no clock could accept it any more.
assertions = Table(
    "assertions",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("keep_until", Float, nullable=False),
)

seen = Table(
    "seen",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
)

# People signed in at the pages. One ends with its passkey, and by two clocks.
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("credential_id", Text, nullable=False),
    Column("begun_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Index("sessions_by_credential", "credential_id"),
)

# How long a yes took, for "usually answered in …".
answers = Table(
    "answers",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Index("answers_by_role", "role", "at"),
)

# What is to be told until it is taken. `audience` is a client_id (channel `device`), a URL
# (`webhook`), a subscription (`push`), or a person (`ntfy`, `hook`).
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("jti", Text, nullable=False, unique=True),
    Column("audience", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
    Index("outbox_by_audience", "audience", "id"),
)

# Browsers that may be pushed to. `credential` is the passkey by which their person signed in.
push_subscriptions = Table(
    "push_subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("endpoint", Text, nullable=False, unique=True),
    Column("p256dh", Text, nullable=False),
    Column("auth", Text, nullable=False),
    Column("credential", Text, nullable=False),
    Column("added_at", Float, nullable=False),
    Column("last_ok", Float),
    Column("failures", Integer, nullable=False),
    Index("push_subscriptions_by_person", "person"),
)

# Opaque names of requests and grants, one for each person who is called for one.
handles = Table(
    "handles",
    metadata,
    Column("handle", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("called_at", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("closed_at", Float),
    Column("outcome", Text, nullable=False),
    Index("handles_by_person", "person", "subject", unique=True),
    Index("handles_open", "closed_at", "kind"),
)
