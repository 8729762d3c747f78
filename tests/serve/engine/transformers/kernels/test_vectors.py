"""Operations on LLVM's vectors, in small functions that Numba compiles."""

from __future__ import annotations

import pytest
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from serve.engine.transformers.kernels import vectors
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer

LANES = 4
FLOATS = ir.VectorType(ir.FloatType(), LANES)


def summing(num_vectors: int):
    """``(numbers, out)``: the sums of so many vectors, each to its own place."""

    @intrinsic
    def sums(_context, numbers, out):
        def emit(context, builder, _signature, arguments):
            numbers, out = arguments
            stride = ir.Constant(ir.IntType(64), 4 * LANES)
            addresses = vectors.apart(builder, numbers, stride, num_vectors)
            loaded = [
                builder.load(vectors.address_of(builder, address, FLOATS), align=4)
                for address in addresses
            ]
            for first, some in vectors.reduced(builder, loaded, builder.fadd):
                place = builder.gep(out, [ir.Constant(ir.IntType(64), 4 * first)])
                builder.store(some, vectors.address_of(builder, place, some.type), align=4)
            return context.get_dummy_value()

        return types.void(types.voidptr, types.voidptr), emit

    @exact
    def run(numbers, out):
        sums(pointer(numbers), pointer(out))

    return run


@pytest.mark.parametrize("num_vectors", [1, 2, 4, 8])
def test_each_vector_is_summed_to_its_own_place(num_vectors: int) -> None:
    numbers = torch.arange(num_vectors * LANES, dtype=torch.float32).view(-1, LANES) ** 2
    out = torch.full((num_vectors + 1,), -1.0)
    summing(num_vectors)(numbers.data_ptr(), out.data_ptr())
    assert out.tolist() == [*numbers.sum(-1).tolist(), -1]


def test_lanes_are_added_in_one_order_however_many_vectors_there_are() -> None:
    """So that a row's result does not depend on what is beside it."""
    torch.manual_seed(0)
    numbers = torch.randn(4, LANES) * torch.tensor([1e6, 1, 1e-6, 1e3])
    together, alone = torch.empty(4), torch.empty(4)
    summing(4)(numbers.data_ptr(), together.data_ptr())
    one = summing(1)
    for row in range(4):
        one(numbers[row].data_ptr(), alone[row:].data_ptr())
    assert torch.equal(together, alone)


def test_vectors_that_do_not_pair_are_refused() -> None:
    undefined = [ir.Constant(FLOATS, ir.Undefined)] * 3
    with pytest.raises(ValueError, match="3 vectors cannot be summed in pairs"):
        vectors.reduced(ir.IRBuilder(), undefined, None)  # type: ignore[arg-type]


def test_a_constant_is_in_every_lane() -> None:
    assert str(vectors.splat(ir.VectorType(ir.IntType(32), 3), 7)) == (
        "<3 x i32> <i32 7, i32 7, i32 7>"
    )
