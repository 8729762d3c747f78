"""Feedback on answers, by those who got them."""
