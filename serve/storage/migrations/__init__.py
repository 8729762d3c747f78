"""Alembic's folder: each file of versions/ takes the tables from one revision to the next."""
