"""The prefix cache in a file, from one run of the server to the next (ADR 0042)."""
