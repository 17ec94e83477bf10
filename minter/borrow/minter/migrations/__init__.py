"""How `minter.db` came to its present shape, step by step (alembic). Imported only when behind."""
