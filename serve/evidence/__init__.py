"""Evidence for an auditor: one signed folder of what this deployment is, and how to check it.

::

    settings · doctor · software · models · audit · egress ── parts ── folder ── signature

Each part is a function to a ``Part``: its files, and how whole it is. A part that cannot be had is
named as missing in the folder's index, for evidence that leaves out what it lacks is none.
``verify_evidence.py`` checks the folder and imports nothing of ours.
"""
