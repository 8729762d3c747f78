"""Weights from a folder into memory, as they are stored, and the refusals that belong to that."""
