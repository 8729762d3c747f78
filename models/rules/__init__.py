"""Rules for each kind of file in a model folder; models/policy.py puts them together."""
