"""Token ids in, token ids out. An engine knows no text, no HTTP and no user."""
