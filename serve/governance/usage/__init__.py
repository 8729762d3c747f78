"""Reports of what was used, from the ledger."""
