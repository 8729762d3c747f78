"""Alerts at thresholds of budgets: what is told, to whom, and how it gets there safely."""
