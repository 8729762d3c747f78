"""Proof of a model's bytes, and of who vouches for them: manifest, verification, signatures."""
