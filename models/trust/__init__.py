"""Which bytes a model is, and who says so: manifest, verification, signatures."""
