"""Try a model as its users will: served with each scheme, asked, held against its full weights.

``asking`` speaks HTTP, ``checks`` is what is asked, ``serving`` starts servers, ``findings``
judges; ``command`` and ``table`` are for people.
"""
