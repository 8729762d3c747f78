"""Answers that replicas share, as bytes that this room cannot read."""
