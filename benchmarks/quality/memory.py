"""The memory of models that are done with, given back before others are loaded."""

from __future__ import annotations

import ctypes
import gc

import torch


def release() -> None:
    """Free what only cycles hold, and return free memory to the system.

    A GPU's as well: what torch keeps of it no other process could take, nor is it seen as free.
    Models hold cycles, so that their tensors live on after the last name. glibc keeps freed memory
    for later; of a process that loads model after model it keeps as much as a model, or two.
    """
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
