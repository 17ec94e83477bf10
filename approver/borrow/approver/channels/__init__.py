"""Ways to reach a person who is not at a terminal: Web Push, ntfy, a webhook of their own."""
