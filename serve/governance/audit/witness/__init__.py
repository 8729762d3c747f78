"""Witnesses: second parties that sign a log's checkpoint only where the log grew, and never turned.

Whoever holds all keys of a server can write its whole log anew, and it verifies. A witness keeps
what it signed elsewhere, and signs no other past: c2sp.org/tlog-witness and tlog-cosignature.
"""
