"""Real clients, each in an environment of its own, against a real socket of our server.

``calls/NAME.py`` holds a client's usual calls; ``process.py`` runs them in the client's own
interpreter, which ``environments.py`` makes. `python -m tests.clients URL MODEL` does so against a
server that runs, and counts what passed.
"""
