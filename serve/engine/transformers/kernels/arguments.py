"""Arguments of the compiled kernels: a named place for each number, declared once for both ends.

A kernel is given the address of an array of int64: sizes, flags, and addresses of contiguous
tensors on the CPU, 0 where there is none. Python makes the array by name, so that one too few or
too many is a ``TypeError``; compiled code reads ``arguments[_SLOT.rows]`` with
``_SLOT = slots(...)``, which Numba takes for constants. No Numba is imported here.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

_Arguments = TypeVar("_Arguments", bound=tuple[int, ...])


class ProductArguments(NamedTuple):
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already where ``adds``.

    Attributes:
        num_rows: N.
        num_in: K.
        num_out: O.
        groups: equal parts of the inputs that share a scale; 0 for floats.
        blocks: of 32 inputs in a group; 0 for floats.
        adds: 1 adds to what is in ``out``, 0 overwrites it.
        weight: floats ``[O, K]``, or panels as ``panel_dot.py`` has them.
        scale: the panels' scales and zero points; 0 for floats.
        bias: float32 ``[O]``, or 0.
        rows: float32 ``[N, K]``.
        out: float32 ``[N, O]``.
        prepared: scratch for rows as the kernel multiplies them, uint8 ``[threads, N,
            row_bytes(K)]``; ``[N, row_bytes(K)]`` where it is shared.
        sums: scratch, float32 ``[threads, native.SUMS]``.
        counter: of an int64, zero at the start, by which threads take parts of the outputs as they
            get to them, so that one that something else keeps off its core holds nobody up; 0 gives
            each thread an equal part.
        is_shared: 1 where the threads prepare the rows together, as they do for many, and wait for
            each other; 0 where each prepares all for itself.
    """

    num_rows: int
    num_in: int
    num_out: int
    groups: int
    blocks: int
    adds: int
    weight: int
    scale: int
    bias: int
    rows: int
    out: int
    prepared: int
    sums: int
    counter: int
    is_shared: int


class UnpackArguments(NamedTuple):
    """``out = (weight - zero) * scale`` of whole panels, float32 ``[num_panels * 16, num_in]``."""

    num_in: int
    num_panels: int
    groups: int
    weight: int
    scale: int
    out: int


class NormArguments(NamedTuple):
    """RMSNorm of ``rows``, float32 ``[N, K]``, by ``weight`` ``[K]``, into ``out`` ``[N, K]``.

    ``epsilon`` is a float32's bits.
    """

    num_rows: int
    size: int
    epsilon: int
    rows: int
    weight: int
    out: int


class GateArguments(NamedTuple):
    """``silu(gate) * up``, of float32 ``both`` ``[N, 2, size]``, into ``out`` ``[N, size]``."""

    num_rows: int
    size: int
    both: int
    out: int


class StoreArguments(NamedTuple):
    """Norms and rotation of q and k, and keys and values into a layer's pools.

    Attributes:
        num_rows: N.
        num_heads: H.
        num_kv_heads: Hkv.
        head_dim: D.
        epsilon: of the norms, a float32's bits.
        qkv: float32 ``[N, H + 2 Hkv, D]``, changed in place.
        cos: float32 ``[N, D]``.
        sin: float32 ``[N, D]``.
        q_norm: float32 ``[D]``, or 0 where q has no norm.
        k_norm: the same for k.
        slots: int64 ``[N]``, places in the pools.
        keys: ``[slots, Hkv, D]``, of the cache's type.
        values: the same.
    """

    num_rows: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    epsilon: int
    qkv: int
    cos: int
    sin: int
    q_norm: int
    k_norm: int
    slots: int
    keys: int
    values: int


class AttendArguments(NamedTuple):
    """``softmax(q @ k.T) @ v`` of one token for each row, over the blocks of its sequence.

    Attributes:
        num_rows: N.
        width: heads from one row's queries to the next one's.
        num_heads: H.
        num_kv_heads: Hkv.
        head_dim: D.
        window: tokens in sight, the row's own included; 0 sees all.
        scratch_size: floats of ``scratch`` that a thread has to itself.
        entry: floats of a head in ``partials``.
        counter: of an int64, zero at the start, by which threads take items as they get to them.
        queries: float32 ``[N, width, D]``, of which the first H are read.
        keys: as in ``StoreArguments``.
        values: as there.
        starts: int64 ``[N]``, each row's first place in ``blocks``.
        lengths: int64 ``[N]``, tokens of each row's sequence.
        blocks: int64, ids of the sequences' blocks, one after the other.
        items: int64, how many follow, then ``row * MOST_SPLITS + split`` for each split of each
            row's context that there is without a window (``layout.num_splits``).
        waiting: int64 ``[N, Hkv]``, zeros: splits of a row's context that are done, while others
            are not.
        out: float32 ``[N, H, D]``.
        partials: scratch, float32 ``[N, MOST_SPLITS, H, entry]``.
        scratch: float32 ``[threads, scratch_size]``.
        scale: of the scores, a float32's bits.
    """

    num_rows: int
    width: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    window: int
    scratch_size: int
    entry: int
    counter: int
    queries: int
    keys: int
    values: int
    starts: int
    lengths: int
    blocks: int
    items: int
    waiting: int
    out: int
    partials: int
    scratch: int
    scale: int


class SequenceArguments(NamedTuple):
    """Calls of kernels, one after the other.

    Attributes:
        num_calls: how many.
        calls: int64 ``[num_calls, CALL_WORDS]``: a kernel's address and its arguments.
        counter: of an int64, zero at the start.
    """

    num_calls: int
    calls: int
    counter: int


CALL_WORDS = 1 + max(
    len(kind._fields)
    for kind in (ProductArguments, NormArguments, GateArguments, StoreArguments, AttendArguments)
)
"""int64 of one call in a sequence: its kernel's address, and room for the most arguments."""


def slots(kind: type[_Arguments]) -> _Arguments:
    """Each argument's place in the array, under its name."""
    fields: Any = kind._fields  # type: ignore[attr-defined]  # of every NamedTuple
    return kind(*range(len(fields)))
