"""Sections of the server's settings, one for each group of --help; serve/config.py joins them."""
