"""Agents' conversations played on several servers: how much of each prompt is computed again."""
