"""The server: an OpenAI-compatible API over one language model. A request in, events out.

Layers, highest first; each imports only from those below it (import-linter holds them to it)::

    cli : bootstrap > api > observe | governance | pipeline > engine > config | timeline > errors
"""
