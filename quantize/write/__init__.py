"""Weights read, quantised and written, some rows at a time."""
