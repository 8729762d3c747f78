"""Hostile model folders: a table of named shapes, each with parameters from a seeded generator."""
