"""Retention: how long entries are kept, and the legal holds that keep them for longer."""
