"""Loops of our own, compiled at start: products with stored weights, and what lies between them."""
