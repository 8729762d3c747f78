"""The memory that a model needs, from its configuration alone."""
