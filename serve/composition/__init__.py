"""Parts of the server, each built from the settings; serve/bootstrap.py puts them together."""
