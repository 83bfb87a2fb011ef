"""The dashboard: reads the ledger over REST and shows it. `python -m ui` starts it."""
