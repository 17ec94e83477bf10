"""Who may borrow what, from one TOML text. Pure: no IO, no clock."""
