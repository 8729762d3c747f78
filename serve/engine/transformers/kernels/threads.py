"""Torch's threads, as kernels call them: by name, so that their code is of no one process."""

from __future__ import annotations

from numba import types

thread_id = types.ExternalFunction("intramural_thread_id", types.int32())
num_threads = types.ExternalFunction("intramural_num_threads", types.int32())
barrier = types.ExternalFunction("intramural_barrier", types.void())
give_way = types.ExternalFunction("intramural_give_way", types.int32())
