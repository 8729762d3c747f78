"""Identity: keys, tokens and certificates, each led to a principal."""
