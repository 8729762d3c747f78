"""Measurements of a server that is asked for more than it can do: shares, refusals, retries."""
