"""Ways to reach people: the outbox names its channel; subscriptions, and opaque handles."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("channel", sa.Text, nullable=True))
    op.execute("UPDATE outbox SET channel = CASE WHEN webhook THEN 'webhook' ELSE 'device' END")
    with op.batch_alter_table("outbox") as table:
        table.alter_column("channel", existing_type=sa.Text, nullable=False)
        table.drop_column("webhook")
    op.create_table(
        "push_subscriptions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False, unique=True),
        sa.Column("p256dh", sa.Text, nullable=False),
        sa.Column("auth", sa.Text, nullable=False),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("added_at", sa.Float, nullable=False),
        sa.Column("last_ok", sa.Float),
        sa.Column("failures", sa.Integer, nullable=False),
    )
    op.create_index("push_subscriptions_by_person", "push_subscriptions", ["person"])
    op.create_table(
        "handles",
        sa.Column("handle", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("called_at", sa.Float, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("closed_at", sa.Float),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.create_index("handles_by_person", "handles", ["person", "subject"], unique=True)
    op.create_index("handles_open", "handles", ["closed_at", "kind"])
