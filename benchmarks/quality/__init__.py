"""The cost of a quantisation: `python -m benchmarks quality BASE QUANTISED`. See ``command.py``."""
