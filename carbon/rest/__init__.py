"""Talking to the ledger's REST API."""
