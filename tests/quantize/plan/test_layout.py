"""Shards: what lies where, and the headers that say so."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize.plan import layout
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import Output, QuantOptions
from tests.quantize.source_tensors import model

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


def output(name: str, num_bytes: int, source: str | None = None, dtype: str = "BF16") -> Output:
    width = {"BF16": 2, "I64": 8, "U8": 1}[dtype]
    return Output(
        name=name,
        dtype=dtype,
        shape=(num_bytes // width,),
        num_bytes=num_bytes,
        source=source or name,
    )


def header(shard: layout.Shard) -> dict:
    assert int.from_bytes(shard.header[:8], "little") == len(shard.header) - 8
    return json.loads(shard.header[8:])


@given(
    scheme=st.sampled_from([INT4, INT8, W8A8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.FP8]),
    max_bytes=st.integers(1, 3_000_000),
)
def test_shards_hold_everything_once_and_aligned(scheme, max_bytes):
    made, _ = plan(model(), LLAMA, QuantOptions(scheme=scheme))
    shards = layout.shards_of(made.outputs, max_bytes)
    assert [o.name for shard in shards for o in shard.outputs] == [o.name for o in made.outputs]
    assert sum(s.num_bytes - len(s.header) for s in shards) == made.output_bytes
    for shard in shards:
        widths = {"I64": 8, "I32": 4, "BF16": 2}
        for output in shard.outputs:
            assert shard.places[output.name] % widths.get(output.dtype, 1) == 0
        sources = {output.source for output in shard.outputs}
        assert len(sources) == 1 or shard.num_bytes - len(shard.header) <= max_bytes


def test_one_shard_has_the_plain_name_and_several_are_numbered():
    outputs = [output("a", 60), output("b", 60), output("c", 60)]
    assert [shard.name for shard in layout.shards_of(outputs, 1000)] == ["model.safetensors"]
    assert [shard.name for shard in layout.shards_of(outputs, 60)] == [
        f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)
    ]


def test_a_shard_may_be_full_to_its_last_byte():
    outputs = [output("a", 60), output("b", 60), output("c", 2)]
    assert [len(shard.outputs) for shard in layout.shards_of(outputs, 120)] == [2, 1]
    assert [len(shard.outputs) for shard in layout.shards_of(outputs, 119)] == [1, 2]


def test_what_one_tensor_becomes_stays_together_however_large():
    outputs = [output("a", 2), output("m.packed", 600, "m"), output("m.scale", 60, "m")]
    first, second = layout.shards_of(outputs, 100)
    assert [made.name for made in first.outputs] == ["a"]
    assert [made.name for made in second.outputs] == ["m.packed", "m.scale"]


def test_wider_numbers_lie_first_and_the_header_says_where():
    (shard,) = layout.shards_of([output("u", 3, dtype="U8"), output("i", 16, dtype="I64")])
    entries = header(shard)
    assert entries.pop("__metadata__") == {"format": "pt"}
    assert entries["i"] == {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}
    assert entries["u"]["data_offsets"] == [16, 19]
    begin = len(shard.header)
    assert begin % 8 == 0
    assert shard.places == {"i": begin, "u": begin + 16}
    assert shard.num_bytes == begin + 19


def test_the_index_names_each_tensors_file_and_the_bytes_of_all():
    shards = layout.shards_of([output("b", 60), output("a", 40)], 60)
    index = json.loads(layout.index_of(shards))
    assert index["metadata"] == {"total_size": 100}
    assert index["weight_map"] == {
        "a": "model-00002-of-00002.safetensors",
        "b": "model-00001-of-00002.safetensors",
    }
