"""Arguments of kernels: named, as many as there are, and at the same places for both ends."""

from __future__ import annotations

import pytest

from serve.engine.transformers.kernels.arguments import (
    CALL_WORDS,
    AttendArguments,
    GateArguments,
    NormArguments,
    ProductArguments,
    SequenceArguments,
    StoreArguments,
    UnpackArguments,
    slots,
)

IN_A_SEQUENCE = (ProductArguments, NormArguments, GateArguments, StoreArguments, AttendArguments)
ALL = (*IN_A_SEQUENCE, UnpackArguments, SequenceArguments)


@pytest.mark.parametrize("kind", ALL)
def test_a_wrong_number_is_refused_at_once(kind: type[tuple[int, ...]]) -> None:
    num = len(kind._fields)
    assert len(kind(*range(num))) == num
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        kind(*range(num - 1))
    with pytest.raises(TypeError, match="positional arguments but"):
        kind(*range(num + 1))


def test_a_name_that_is_no_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nun_rows'"):
        GateArguments(nun_rows=1, size=2, both=3, out=4)


@pytest.mark.parametrize("kind", ALL)
def test_compiled_code_reads_what_python_wrote(kind: type[tuple[int, ...]]) -> None:
    values = {name: 100 + place for place, name in enumerate(reversed(kind._fields))}
    written, slot = kind(**values), slots(kind)
    assert {name: written[getattr(slot, name)] for name in kind._fields} == values


@pytest.mark.parametrize("kind", IN_A_SEQUENCE)
def test_a_sequence_fills_the_number_of_rows_in(kind: type[tuple[int, ...]]) -> None:
    """It writes to the first place of every call, and has room for the kernel's address."""
    assert slots(kind).num_rows == 0
    assert len(kind._fields) < CALL_WORDS
