"""The memory of models that are done with, given back before others are loaded."""

from __future__ import annotations

import ctypes
import gc


def release() -> None:
    """Free what only cycles hold, and return free memory to the system.

    Models hold cycles, so that their tensors live on after the last name. glibc keeps freed memory
    for later; of a process that loads model after model it keeps as much as a model, or two.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
