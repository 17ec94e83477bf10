"""What alembic runs; it uses the connection that `run.upgrade` was given and nothing else."""

from __future__ import annotations

from alembic import context

from borrow.minter.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
