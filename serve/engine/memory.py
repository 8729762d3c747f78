"""How much memory is free: models/memory/host_memory.py, which `python -m models fit` reads too."""

from models.memory.host_memory import available_bytes, read_text

__all__ = ["available_bytes", "read_text"]
