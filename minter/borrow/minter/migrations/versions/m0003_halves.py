"""A yes in halves: which requests take every kind, and with which key each was given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "requests", sa.Column("every", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    with op.batch_alter_table("decisions") as decisions:
        decisions.add_column(
            sa.Column("credential_id", sa.String(), nullable=False, server_default="")
        )
        decisions.drop_constraint("one_voice_each", type_="unique")
        decisions.create_unique_constraint(
            "one_voice_each", ["request_id", "approver", "decision", "method"]
        )
