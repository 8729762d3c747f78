"""The table of what runs where, and its promise: what it names instead does run there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.refs import OtherScheme, QuantScheme
from quantize.plan.scheme_support import Capability, Placement, refusal

S = QuantScheme
TURING, HOPPER, BLACKWELL, CONSUMER_BLACKWELL = (7, 5), (9, 0), (10, 0), (12, 0)

places = st.builds(
    Placement,
    engine=st.sampled_from(["vllm", "transformers"]),
    capability=st.none() | st.tuples(st.integers(5, 12), st.integers(0, 9)),
    has_bitsandbytes=st.booleans(),
    has_vllm_plugin=st.booleans(),
)


@given(st.sampled_from(QuantScheme), places)
def test_what_is_named_instead_runs_there(scheme: QuantScheme, place: Placement) -> None:
    refused = refusal(scheme, place)
    if refused is not None:
        assert refused.instead is not scheme
        assert refusal(refused.instead, place) is None
        assert str(scheme) in str(refused)
        assert f"--quant {refused.instead}" in str(refused)


@given(st.sampled_from(OtherScheme), places)
def test_of_another_tool_s_weights_vllm_or_full_ones_are_named(
    scheme: OtherScheme, place: Placement
) -> None:
    refused = refusal(scheme, place)
    if refused is None:
        assert place.engine == "vllm"
    elif refused.advice == "Take --engine vllm.":
        assert refusal(scheme, replace(place, engine="vllm")) is None
    else:
        assert refusal(refused.instead, place) is None
        assert f"full weights, and --quant {refused.instead}" in str(refused)


@pytest.mark.parametrize(
    ("scheme", "capability", "runs"),
    [
        (OtherScheme.AWQ, None, True),
        (OtherScheme.GPTQ, None, True),
        (OtherScheme.MXFP4, None, False),
        (OtherScheme.FBGEMM_FP8, None, False),
        (OtherScheme.MODELOPT_FP8, None, False),
        (OtherScheme.FP8_TENSOR, None, False),
        (OtherScheme.FP8_BLOCK, None, False),
        (OtherScheme.AWQ, TURING, True),
        (OtherScheme.AWQ, (7, 0), False),
        (OtherScheme.FP8_BLOCK, TURING, True),
        (OtherScheme.FBGEMM_FP8, TURING, False),
        (OtherScheme.MODELOPT_FP8, HOPPER, True),
        (OtherScheme.MXFP4, TURING, False),
        (OtherScheme.MXFP4, BLACKWELL, True),
        (OtherScheme.BITSANDBYTES, HOPPER, False),
    ],
)
def test_where_vllm_reads_another_tool_s_weights(
    scheme: OtherScheme, capability: Capability | None, runs: bool
) -> None:
    refused = refusal(scheme, Placement(engine="vllm", capability=capability))
    assert (refused is None) is runs


@given(places)
def test_full_weights_run_anywhere(place: Placement) -> None:
    assert refusal(S.NONE, place) is None


@pytest.mark.parametrize(
    ("engine", "capability", "scheme", "instead"),
    [
        ("vllm", TURING, S.INT8, None),
        ("vllm", HOPPER, S.INT8, None),
        ("vllm", BLACKWELL, S.INT8, None),
        ("vllm", HOPPER, S.INT8_W8A8, None),
        ("vllm", BLACKWELL, S.INT8_W8A8, S.INT8),
        ("vllm", CONSUMER_BLACKWELL, S.INT8_W8A8, S.INT8),
        ("vllm", None, S.INT8_W8A8, None),
        ("transformers", None, S.INT8_W8A8, None),
        ("vllm", BLACKWELL, S.FP8, None),
        ("vllm", BLACKWELL, S.INT4, None),
        ("vllm", (7, 0), S.INT4, S.NONE),
        ("vllm", HOPPER, S.NF4, S.INT4),
        ("vllm", HOPPER, S.BNB_INT8, S.INT8),
        ("vllm", BLACKWELL, S.BNB_INT8, S.INT8),
        ("vllm", None, S.INT8, None),
        ("vllm", None, S.INT4, None),
        ("vllm", None, S.INT8_WEIGHT_ONLY, None),
        ("vllm", None, S.FP8, S.INT8),
        ("vllm", None, S.NF4, S.INT4),
        ("transformers", None, S.INT8, None),
        ("transformers", None, S.INT8_WEIGHT_ONLY, None),
        ("transformers", None, S.INT4, None),
        ("transformers", None, S.FP8, S.INT8),
        ("transformers", None, S.NF4, None),
        ("transformers", None, S.BNB_INT8, None),
        ("transformers", BLACKWELL, S.INT8, None),
    ],
)
def test_the_table(
    engine: str, capability: Capability | None, scheme: QuantScheme, instead: QuantScheme | None
) -> None:
    refused = refusal(scheme, Placement(engine=engine, capability=capability))  # type: ignore[arg-type]
    assert (None if refused is None else refused.instead) is instead


def test_four_bits_on_vllms_cpu_build_need_avx512() -> None:
    old = Placement(engine="vllm", has_avx512=False)
    refused = refusal(S.INT4, old)
    assert refused is not None
    assert refused.instead is S.INT8
    assert "AVX-512" in str(refused)
    assert refusal(S.INT8, old) is None
    assert refusal(S.INT4, Placement(engine="transformers", has_avx512=False)) is None
    assert refusal(S.INT4, Placement(engine="vllm", capability=HOPPER, has_avx512=False)) is None


def test_bitsandbytes_needs_its_packages() -> None:
    plugged = Placement(engine="vllm", capability=HOPPER, has_vllm_plugin=True)
    assert refusal(S.NF4, plugged) is None
    without = Placement(
        engine="vllm", capability=HOPPER, has_vllm_plugin=True, has_bitsandbytes=False
    )
    refused = refusal(S.NF4, without)
    assert refused is not None
    assert refused.instead is S.INT4
    ours = Placement(engine="transformers", has_bitsandbytes=False)
    refused = refusal(S.NF4, ours)
    assert refused is not None
    assert "not installed" in refused.reason
    assert refusal(S.BNB_INT8, ours) is None  # by int8's own arithmetic
