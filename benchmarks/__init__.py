"""Measures serving from outside (HTTP) and inside (the Engine protocol)."""
