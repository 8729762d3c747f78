"""How numbers are stored: integers in words, scales and zero points, and what config.json says."""
