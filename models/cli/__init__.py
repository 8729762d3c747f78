"""The commands of `python -m models`: one file for each group that belongs together.

A module has ``add_commands(commands)``. It adds its sub-parsers with ``options.command`` and names
the function to run with ``set_defaults(run=...)``: options in, exit code out. A ModelError becomes
a message and exit code 2 in models/__main__.py.
"""
