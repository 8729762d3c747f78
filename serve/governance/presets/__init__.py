"""Presets of sampling, and rules that finished answers are brought into shape by."""
