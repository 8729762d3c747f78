"""Checks of this machine and of a running deployment: what is wrong, and what to do about it.

A check is a function from a ``Machine`` or a ``Deployment`` to one ``Finding``; ``checks.py`` lists
them. Checks change nothing, and send nothing beyond this machine but to the address of ``--url`` or
``--probe-egress``, and to the stores and the identity provider that the settings name.
"""
