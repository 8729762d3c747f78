"""The software bundle: all that a machine without a network needs to serve. `make bundle`.

Run from a checkout, on a machine that can reach packages; no part of what is installed.
"""
