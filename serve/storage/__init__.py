"""Stores that outlast a process: the database, and counters that replicas share.

The only home of SQL and of Valkey or Redis. ADR 0013 says what is open and what is closed when one
of them is away.
"""
