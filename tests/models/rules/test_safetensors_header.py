"""Headers: what the format's own library writes is read alike, and every lie is found."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.rules import safetensors_header
from models.rules.safetensors_header import HeaderFault, TensorEntry

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I32": torch.int32,
    "F32": torch.float32,
    "I64": torch.int64,
    "F64": torch.float64,
}


@given(
    shapes=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 5), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_what_the_library_writes_is_read(shapes):
    tensors = {n: torch.zeros(shape, dtype=DTYPES[kind]) for n, (kind, shape) in shapes.items()}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.safetensors"
        save_file(tensors, path, metadata={"format": "pt"})
        read = safetensors_header.tensors(path)
        assert safetensors_header.fault(path) is None
    assert {name: (tensor.dtype, list(tensor.shape)) for name, tensor in read.items()} == {
        name: (kind, list(shape)) for name, (kind, shape) in shapes.items()
    }
    assert all(read[name].num_bytes == tensor.nbytes for name, tensor in tensors.items())


def test_in_the_order_of_their_data(tmp_path):
    header = {
        "b": {"dtype": "F4", "shape": [4], "data_offsets": [3, 5]},
        "a": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]},
    }
    raw = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(5))
    assert list(safetensors_header.tensors(path).items()) == [
        ("a", TensorEntry("F6_E2M3", (4,), 0, 3)),
        ("b", TensorEntry("F4", (4,), 3, 5)),
    ]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "make 8 bytes and .* has 4"),
        ({"dtype": "F4", "shape": [1], "data_offsets": [0, 1]}, "whose shape and type"),
        ({"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}, "does not describe"),
        ({"dtype": "U8", "shape": [1], "data_offsets": [0.0, 1]}, "does not describe"),
        ({"dtype": "U8", "shape": [1], "data_offsets": [0, 1], "x": 1}, "does not describe"),
        ({"dtype": "U8", "shape": [1] * 40, "data_offsets": [0, 1]}, "does not describe"),
        ({"dtype": "U8", "shape": [1 << 64], "data_offsets": [0, 1]}, "does not describe"),
        ({"dtype": "U8", "shape": [0], "data_offsets": [4, 0]}, "ends before"),
        ({"dtype": "Q4", "shape": [1], "data_offsets": [0, 1]}, "unknown type 'Q4'"),
        ({"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}, "1 of 9 bytes are missing"),
        ({"dtype": "U8", "shape": [7], "data_offsets": [0, 7]}, "1 bytes that belong to no"),
        ({"dtype": "U8", "shape": [7], "data_offsets": [1, 8]}, "leave gaps"),
    ],
)
def test_lies_are_found(tmp_path, entry, says):
    raw = json.dumps({"t": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(8))
    with pytest.raises(HeaderFault, match=says):
        safetensors_header.tensors(path)


def test_a_header_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_header, "MAX_HEADER_BYTES", 10)
    path = tmp_path / "x.safetensors"
    path.write_bytes((11).to_bytes(8, "little") + b"{" + b" " * 9 + b"}")
    assert "at most 10 are allowed" in safetensors_header.fault(path)
