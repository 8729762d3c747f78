"""What a model costs in memory, from its configuration alone."""
