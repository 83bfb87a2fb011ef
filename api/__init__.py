"""The ledger: a REST API that stores run reports and answers with what they add up to."""
