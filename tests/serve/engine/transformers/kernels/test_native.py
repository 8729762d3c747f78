"""Kernels on torch's threads: what is refused, where there are none, and calls in a row."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import carray

from serve.engine.transformers.kernels import native, registry
from serve.engine.transformers.kernels.arguments import (
    GateArguments,
    ProductArguments,
    UnpackArguments,
    slots,
)
from serve.engine.transformers.kernels.compiling import kernel_of
from serve.engine.transformers.kernels.intrinsics import count_up, pointer
from serve.engine.transformers.kernels.native import CallSequence, Scratch
from serve.engine.transformers.kernels.threads import thread_id

SLOT, GATE = slots(ProductArguments), slots(GateArguments)


@kernel_of(ProductArguments)
def count_threads(address):
    """Adds one to the int64 at ``out``, by each thread."""
    count_up(carray(address, len(SLOT), dtype=np.int64)[SLOT.out])


@kernel_of(ProductArguments)
def idle(address):
    """Reads nothing, so that a test may hand it anything."""


@kernel_of(ProductArguments)
def note(address):
    """Appends rows, ``num_out`` and the own counter's value to a list, whose length comes first."""
    arguments = carray(address, len(SLOT), dtype=np.int64)
    counted = count_up(arguments[SLOT.counter])
    if thread_id() == 0:
        notes = carray(pointer(arguments[SLOT.out]), 64, dtype=np.int64)
        at = 1 + 3 * notes[0]
        notes[at], notes[at + 1] = arguments[SLOT.num_rows], arguments[SLOT.num_out]
        notes[at + 2] = counted
        notes[0] += 1


@kernel_of(GateArguments)
def double(address):
    """Doubles the int64 at ``out``."""
    arguments = carray(address, len(GATE), dtype=np.int64)
    if thread_id() == 0:
        carray(pointer(arguments[GATE.out]), 1, dtype=np.int64)[0] *= 2


def arguments_of(out: torch.Tensor, num_out: int = 0) -> ProductArguments:
    empty = ProductArguments(*[0] * len(ProductArguments._fields))
    return empty._replace(num_out=num_out, out=out.data_ptr())


@pytest.mark.parametrize("threads", [1, 3])
def test_every_one_of_torchs_threads_runs_a_kernel(threads: int) -> None:
    before, out = torch.get_num_threads(), torch.zeros(1, dtype=torch.int64)
    torch.set_num_threads(threads)
    try:
        native.run(count_threads, arguments_of(out))
    finally:
        torch.set_num_threads(before)
    assert out.item() == threads


def test_another_kernels_arguments_are_refused() -> None:
    """Before anything runs: it would read and write at whatever addresses it found."""
    wrong = UnpackArguments(1, 2, 3, 4, 5, 6)
    with pytest.raises(TypeError, match="takes ProductArguments was given UnpackArguments of 6"):
        native.run(idle, wrong)
    with pytest.raises(TypeError, match=r"was given tuple of 15 numbers\. Make them by name"):
        native.run(idle, tuple(range(15)))
    with pytest.raises(TypeError, match="takes ProductArguments was given UnpackArguments of 6"):
        CallSequence(registry.sequence(), [(idle, wrong)])


def test_calls_run_in_order_with_rows_and_counters_of_their_own() -> None:
    notes = torch.zeros(64, dtype=torch.int64)
    calls = [(note, arguments_of(notes, 7)), (note, arguments_of(notes, 8))]
    sequence = CallSequence(registry.sequence(), calls)
    for num_rows in (5, 2):
        notes.zero_()
        sequence.run(num_rows)
        assert notes[:7].tolist() == [2, num_rows, 7, 0, num_rows, 8, 0]


def test_kernels_of_other_arguments_may_follow() -> None:
    value = torch.tensor([10])
    doubled = GateArguments(num_rows=0, size=0, both=0, out=value.data_ptr())
    calls = [(count_threads, arguments_of(value)), (double, doubled)]
    CallSequence(registry.sequence(), calls).run(1)
    assert value.item() == 2 * (10 + torch.get_num_threads())


def test_there_are_no_loops_without_torchs_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_available = native.is_available.__wrapped__
    assert is_available()
    monkeypatch.setattr(native, "_POOL", tmp_path / "libgomp.so.1")
    assert not is_available()  # this build of torch brings none
    (tmp_path / "libgomp.so.1").write_text("no library")
    monkeypatch.setattr(native, "pool", native.pool.__wrapped__)
    assert not is_available()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # another library of that name
    assert not is_available()


def test_there_are_no_loops_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda _: None)
    assert not native.is_available.__wrapped__()


@pytest.mark.parametrize("num_in", [16, 32, 48, 4096, 4112])
def test_a_prepared_row_has_room_and_ends_with_a_cache_line(num_in: int) -> None:
    size = native.row_bytes(num_in)
    assert size % 64 == 0
    assert size - 64 < 2 * num_in <= size  # bfloat16
    assert num_in % 32 or num_in + num_in // 32 * 8 <= size  # bytes, scales and starts


def test_threads_share_what_they_prepare_together_only() -> None:
    threads = torch.get_num_threads()
    assert Scratch(3, 32).prepared.shape == (threads, 3, 64)
    assert Scratch(3, 32, is_shared=True).prepared.shape == (1, 3, 64)
    assert Scratch(3, 32, is_shared=True).sums.shape == (threads, native.SUMS)
