"""What a model folder may hold, file kind by file kind; models/policy.py puts it together."""
