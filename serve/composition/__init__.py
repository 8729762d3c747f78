"""Parts of the server, built from its settings."""
