"""Texts with and without personal data. Imports nothing of the detectors: checksums are its own."""
