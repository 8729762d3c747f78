"""Prompts and the engine's prefix cache: why a prompt left the longest prefix that was known.

A request is watched (watch.py): its prompts are looked up among the same owner's earlier ones
(known.py), by their token ids and by what they were made of (parts.py). Where one parts from the
others is named (naming.py, in the text: placing.py). append_only.py tells of a template whether the
next turn's prompt begins with this one at all.
"""
