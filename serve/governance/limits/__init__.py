"""Limits and budgets: rules from a file, reservations over counters, usage into the ledger."""
