"""Parts of the server, built from its settings; bootstrap.py puts them together."""
