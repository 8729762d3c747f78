"""The storage of numbers: integers in words, scales and zero points, and what config.json says."""
