"""The usual calls of each client, which ``process.py`` runs in the client's own environment."""
