"""Operations that Numba lacks: addresses, a float's bits, calls by address, shared counters."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.layout import LANES
from serve.engine.transformers.kernels.vectors import address_of

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_HAS_PAUSE = platform.machine() in {"x86_64", "AMD64"}


@intrinsic
def pointer(_context: Any, _address: Any) -> Any:
    """An int64 as a pointer."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


@intrinsic
def float_of(_context: Any, _bits: Any) -> Any:
    """The float32 that has these 32 bits."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _F32)

    return types.float32(types.int32), emit


@intrinsic
def bits_of(_context: Any, _number: Any) -> Any:
    """The 32 bits of a float32."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _I32)

    return types.int32(types.float32), emit


@intrinsic
def call(_context: Any, _function: Any, _argument: Any) -> Any:
    """Call the ``void (void *)`` at an address."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, argument = arguments
        function = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t]).as_pointer()
        builder.call(builder.inttoptr(address, function), [argument])
        return context.get_dummy_value()

    return types.void(types.int64, types.voidptr), emit


@intrinsic
def count_up(_context: Any, _address: Any) -> Any:
    """Add one to the int64 at an address, and say what it was.

    Whoever sees the new value sees all that was written before.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.atomic_rmw("add", place, ir.Constant(_I64, 1), "acq_rel")

    return types.int64(types.int64), emit


@intrinsic
def counted(_context: Any, _address: Any) -> Any:
    """The int64 at an address, as ``count_up`` left it. Waits a moment, for it is asked again."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if _HAS_PAUSE:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(
                cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), []
            )
        place = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(types.int64), emit


@intrinsic
def store_sums(_context: Any, sums: Any, bias: Any, adds: Any, out: Any) -> Any:
    """``out = sums + bias (+ out)`` for ``LANES`` floats: addresses but for the flag; no bias is 0.

    LLVM's vectoriser makes of the same loop in Python what took a third of a product's time.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sums, bias, adds, out = arguments
        kind = ir.VectorType(_F32, LANES)

        def load(address: Any) -> Any:
            return builder.load(address_of(builder, address, kind), align=4)

        result = cgutils.alloca_once_value(builder, load(sums))
        for address, is_there in (
            (bias, cgutils.is_not_null(builder, bias)),
            (out, cgutils.is_not_null(builder, adds)),
        ):
            with builder.if_then(is_there):
                builder.store(builder.fadd(builder.load(result), load(address)), result)
        builder.store(builder.load(result), address_of(builder, out, kind), align=4)
        return _context.get_dummy_value()

    address = types.voidptr
    return types.void(address, address, types.int64, address), emit
