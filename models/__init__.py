"""Weights: which exist, where they are, whether they are whole. No torch outside models/demo."""
