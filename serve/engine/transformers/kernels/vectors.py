"""Operations on LLVM's vectors that all dot products need: load ahead, fill, sum across lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def apart(builder: Any, pointer: Any, stride: Any, num: int) -> Sequence[Any]:
    """``num`` addresses, these many bytes apart."""
    return [builder.gep(pointer, [builder.mul(stride, ir.Constant(_I64, at))]) for at in range(num)]


def address_of(builder: Any, pointer: Any, kind: Any) -> Any:
    """A pointer to something of this type."""
    return builder.bitcast(pointer, kind.as_pointer())


def fetch(builder: Any, pointer: Any, ahead: int) -> None:
    """Ask memory for what lies these many bytes further on."""
    kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    place = builder.gep(pointer, [ir.Constant(_I64, ahead)])
    builder.call(function, [place, *(ir.Constant(_I32, value) for value in (0, 3, 1))])


def splat(kind: Any, value: float) -> Any:
    """A constant in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def spread(builder: Any, value: Any, num: int) -> Any:
    """A number in every lane."""
    nothing = ir.Constant(ir.VectorType(value.type, num), ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(one, nothing, splat(ir.VectorType(_I32, num), 0))


def reduced(
    builder: Any, vectors: Sequence[Any], add: Callable[[Any, Any], Any]
) -> Sequence[tuple[int, Any]]:
    """The sums across each vector's lanes, as vectors of as many, each with its first one's place.

    Two vectors become one of both their halves' sums, and so on: lanes are added in the same order
    however many vectors there are.
    """
    most = vectors[0].type.count
    chunks = [(at, vectors[at : at + most]) for at in range(0, len(vectors), most)]
    return [(at, _chunk_reduced(builder, chunk, add)) for at, chunk in chunks]


def _chunk_reduced(builder: Any, vectors: Sequence[Any], add: Callable[[Any, Any], Any]) -> Any:
    """The sums of a power of two of vectors, no more than one of them has lanes."""
    num, part = len(vectors), vectors[0].type.count  # lanes that belong to one sum
    if num & (num - 1):
        raise ValueError(f"{num} vectors cannot be summed in pairs: give a power of two of them.")
    while part > 1:
        if len(vectors) > 1:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        else:
            pairs = [(vectors[0], ir.Constant(vectors[0].type, ir.Undefined))]
        lanes = range(vectors[0].type.count * (2 if len(vectors) > 1 else 1))
        halves = [[lane for lane in lanes if lane % part // (part // 2) == side] for side in (0, 1)]
        masks = [ir.Constant(ir.VectorType(_I32, len(half)), list(half)) for half in halves]
        vectors = [
            add(*(builder.shuffle_vector(left, right, mask) for mask in masks))
            for left, right in pairs
        ]
        part //= 2
    return vectors[0]


def across(builder: Any, vector: Any) -> Any:
    """The sum of one vector's floats."""
    [(_, total)] = reduced(builder, [vector], builder.fadd)
    return builder.extract_element(total, ir.Constant(_I32, 0))
