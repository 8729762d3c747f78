"""What a quantisation cost: `python -m benchmarks quality BASE QUANTISED`. See ``command.py``."""
