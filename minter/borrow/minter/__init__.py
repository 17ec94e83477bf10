"""The only vault: verifies everything by itself, writes the log, makes short-lived credentials."""
