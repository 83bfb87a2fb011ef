"""Bringing what the spool holds to the ledger, at once or when it answers again."""
