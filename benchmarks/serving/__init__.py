"""Load on any OpenAI-compatible server: who sends what and when, and what was seen."""
