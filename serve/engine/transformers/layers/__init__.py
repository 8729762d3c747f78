"""Modules that stand in a loaded model: attention over the paged cache, and linear layers."""
