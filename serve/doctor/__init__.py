"""What could be wrong with this machine or with a running deployment, and what to do about it.

A check is a function from a ``Machine`` or a ``Deployment`` to one ``Finding``; ``checks.py`` lists
them. Checks change nothing, and none sends anything beyond this machine but to the address that
was given: ``--url`` and ``--probe-egress``.
"""
