"""Logs, metrics and start-up progress. Listens, never steers: nothing here raises into a request."""
