"""Detectors of personal data and secrets, each of bounded length."""
