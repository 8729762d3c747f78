"""The way from a function to a kernel."""

from __future__ import annotations

import numpy as np
import torch
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.arguments import GateArguments, slots
from serve.engine.transformers.kernels.compiling import kernel_of
from serve.engine.transformers.kernels.intrinsics import count_up, pointer
from serve.engine.transformers.kernels.threads import num_threads, thread_id

SLOT = slots(GateArguments)


@kernel_of(GateArguments)
def gather(address):
    """Counts the threads, and adds up their numbers."""
    arguments = carray(address, len(SLOT), dtype=np.int64)
    count_up(arguments[SLOT.out])
    if thread_id() == 0:
        carray(pointer(arguments[SLOT.out]), 2, dtype=np.int64)[1] = num_threads()


def test_a_kernel_knows_its_arguments_and_torchs_threads() -> None:
    out = torch.zeros(2, dtype=torch.int64)
    native.run(gather, GateArguments(num_rows=0, size=0, both=0, out=out.data_ptr()))
    assert gather.takes is GateArguments
    assert out.tolist() == [torch.get_num_threads()] * 2
