"""Logs, metrics and start-up progress. Listens, never steers, never raises into a request."""
