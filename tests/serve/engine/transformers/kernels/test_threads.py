"""Names by which kernels call torch's threads."""

from __future__ import annotations

from numba import types

from serve.engine.transformers.kernels import native, threads


def test_every_name_is_one_that_a_process_resolves() -> None:
    called = {
        each.symbol for each in vars(threads).values() if isinstance(each, types.ExternalFunction)
    }
    assert called == set(native.SYMBOLS)
    assert native.pool().addresses.keys() == called
    assert all(native.pool().addresses.values())
