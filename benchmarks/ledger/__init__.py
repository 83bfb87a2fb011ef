"""How quick the ledger's server is: taking reports in, and answering from very many runs."""
