"""Masking: personal data and secrets in prompts and answers, equal for every split of a stream."""
