"""Prefill and decode straight on an Engine: no HTTP, no text."""
