"""Counters with limits: in memory, in the database, in Valkey or Redis."""
