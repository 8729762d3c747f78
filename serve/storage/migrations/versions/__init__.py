"""Revisions of the tables, in the order of their numbers. One that was released never changes.

A replica of the version before may still run while the next one is started, so a revision adds:
tables, and columns that may be null or have a default. What goes is taken out a release later.
"""
