"""Continuous batching over a Hugging Face model: policy, paged cache, attention, sampling."""
