"""A model's dialect: how it writes reasoning and tool calls, found in its own folder.

One value (dialect.py) is found (finding.py), and gives the parser of answers (parsing.py) and the
grammar that answers are held to (grammars.py).
"""
