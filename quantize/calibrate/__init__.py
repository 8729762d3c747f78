"""Quantising by what a text makes of the weights, in an environment of its own."""
