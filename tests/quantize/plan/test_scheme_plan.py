"""The options of a quantisation, and the values of a plan."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats.forms import Form, Linear, Part
from quantize.plan.choices import SENSITIVE, VARIANTS, Choice
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import Output, QuantOptions, SchemePlan, Size, Skip
from quantize.plan.tables import Width
from quantize.protocol import Method
from tests.quantize.source_tensors import model

INT4, INT8, W8A8 = QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_W8A8
LLAMA = {"model_type": "llama"}


def test_int4_is_searched_unless_told_otherwise():
    assert plan(model(), {}, QuantOptions(scheme=INT4))[0].method is Method.SEARCH
    assert plan(model(), {}, QuantOptions(scheme=INT8))[0].method is Method.RTN
    assert plan(model(), {}, QuantOptions(scheme=INT4, method=Method.RTN))[0].method is Method.RTN


def test_an_embedding_of_int4_has_the_bits_that_are_asked_for():
    for width, bits in ((Width.FOUR, 4.5), (Width.EIGHT, 8 + 16 / 128)):
        made, _ = plan(model(head=False), LLAMA, QuantOptions(scheme=INT4, embeddings=width))
        assert made.sizes["embedding"].bits_per_weight == pytest.approx(bits, abs=0.01)
        assert made.sizes["head"].bits_per_weight > 8
    made, _ = plan(model(), LLAMA, QuantOptions(scheme=INT4, embeddings=Width.FOUR))
    (group,) = (
        each
        for each in made.config["quantization_config"]["config_groups"].values()
        if "VocabParallelEmbedding" in each["targets"]
    )
    assert (group["weights"]["symmetric"], group["weights"]["group_size"]) == (True, 32)
    with pytest.raises(OptionError, match="is for int4"):
        plan(model(), LLAMA, QuantOptions(scheme=INT8, embeddings=Width.FOUR))


@pytest.mark.parametrize(
    ("scheme", "embeddings", "is_tied", "num_bits"),
    [
        (INT4, None, False, 4),
        (INT4, None, True, 8),  # an engine may hold both once
        (INT4, Width.FOUR, True, 4),
        (INT4, Width.EIGHT, False, 8),
        (INT8, None, False, 8),
    ],
)
def test_an_embedding_of_its_own_is_narrow_in_int4(scheme, embeddings, is_tied, num_bits):
    options = QuantOptions(scheme=scheme, embeddings=embeddings)
    assert options.scheme_options(is_tied=is_tied).embedding_bits == num_bits


def test_another_choice_changes_scheme_and_sensitive_layers_alone():
    options = QuantOptions(scheme=INT8, group_size=64, ignore="x", tensor_parallel=2)
    down = options.with_choice(Choice.parse("int4-down"))
    assert (down.scheme, down.sensitive) == (INT4, VARIANTS["down"])
    assert (down.group_size, down.ignore, down.tensor_parallel) == (64, "x", 2)
    assert down.with_choice(Choice.parse("int8")) == options
    assert options.sensitive == SENSITIVE


def test_a_chunk_of_rows_has_its_share_of_each_tensor():
    linear = Linear(name="m", num_out=16, num_in=4, dtype="BF16")
    more = {"dtype": "I32", "shape": (2, 4), "num_bytes": 32, "source": "m.weight"}
    assert Output(name="z", linear=linear, **more).bytes_before(8) == 16
    assert Output(name="s", linear=linear, is_by_row=False, **more).bytes_before(8) == 0
    assert Output(name="m.weight", **more).bytes_before(8) == 0


def test_sizes_are_by_part_and_count_scales_and_zero_points():
    def matrix(name: str, part: Part) -> Linear:
        return Linear(name=name, num_out=8, num_in=32, dtype="BF16", part=part, form=Form())

    layers = (
        matrix("a", Part.LAYERS),
        matrix("b", Part.LAYERS),
        matrix("lm_head", Part.HEAD),
    )
    outputs = tuple(
        Output(
            name=f"{linear.name}.{suffix}",
            dtype="U8",
            shape=(),
            num_bytes=num_bytes,
            source=linear.name,
            linear=linear,
        )
        for linear in layers
        for suffix, num_bytes in (("weight", 256), ("weight_scale", 16))
    )
    copied = Output(name="n", dtype="BF16", shape=(8,), num_bytes=16, source="n")
    made = SchemePlan(
        scheme=INT8,
        method=Method.RTN,
        form=Form(),
        layers=layers,
        skipped=(Skip(name="n", reason="small"),),
        outputs=(*outputs, copied),
        source_bytes=0,
        output_bytes=0,
        peak_memory_bytes=0,
        config={},
    )
    assert made.sizes == {
        Part.LAYERS: Size(num_matrices=2, num_weights=512, num_bytes=544),
        Part.HEAD: Size(num_matrices=1, num_weights=256, num_bytes=272),
    }
    assert made.num_weights == 768
    assert made.bits_per_weight == 8.5
