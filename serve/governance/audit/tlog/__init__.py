"""Transparency logs in C2SP's formats: pure functions of bytes, which read and write no file."""
