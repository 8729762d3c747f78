"""The routes of operators: probes, metrics, version, tokens."""
