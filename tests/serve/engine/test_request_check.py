"""Requests that every engine refuses before it takes anything, and those at the very edge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import EngineInfo, EngineRequest, SamplingParams
from serve.engine.request_check import check_request, check_vocabulary
from serve.errors import ContextLengthExceeded, InvalidRequest, UnsupportedField

INFO = EngineInfo(
    name="one",
    max_model_len=16,
    max_num_seqs=2,
    kv_cache_tokens=32,
    vocab_size=100,
    eos_token_ids=frozenset({2}),
    capabilities=frozenset(),
    dtype="none",
    device="none",
    adapters=("clerk", "poet"),
)
REGEX = Grammar(kind="regex", text="a+")


def check(prompt: list[int], adapter: str | None = None, **sampling: Any) -> None:
    params = SamplingParams(**({"max_tokens": 4} | sampling))
    request = EngineRequest(
        request_id="r", prompt_token_ids=prompt, sampling=params, adapter=adapter
    )
    check_request(INFO, request)


def test_what_just_fits_passes() -> None:
    check([0] * 12)
    check([99], max_tokens=15)
    check([0, 99], adapter="poet", logit_bias={0: -1.0, 99: 1.0})


def test_one_token_too_many_is_refused_with_the_three_numbers() -> None:
    with pytest.raises(ContextLengthExceeded, match="is 16 tokens; the prompt has 13 and 4 were"):
        check([0] * 13)
    with pytest.raises(ContextLengthExceeded):  # the length is looked at first
        check([-1] * 17)


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"prompt": []}, "The prompt is empty", None),
        ({"prompt": [5, 100]}, r"token ids outside 0\.\.99", None),
        ({"prompt": [-1]}, r"token ids outside 0\.\.99", None),
        ({"prompt": [1], "adapter": "cook"}, 'no adapter "cook"; there are: clerk, poet', "model"),
        ({"prompt": [1], "logit_bias": {100: 1.0}}, r"token id 100; .* 0\.\.99", "logit_bias"),
        ({"prompt": [1], "logit_bias": {-1: 1.0}}, "names token id -1", "logit_bias"),
    ],
    ids=str,
)
def test_refusals_name_the_field(fields: dict[str, Any], message: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest, match=message) as refusal:
        check(**fields)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    ("ids", "shown"), [([5, 100], "100"), ([-1, 100], "-1"), ([10**4000], "1" + "0" * 19 + "...")]
)
def test_a_token_id_out_of_range_is_shown(ids: list[int], shown: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_vocabulary(INFO, ids, "prompt")
    wanted = f"prompt has a token id out of range, {shown}: this model's are 0 to 99."
    assert refusal.value.message == wanted


def test_a_long_name_of_an_adapter_is_cut() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check([1], adapter="x" * 1000)
    assert refusal.value.message.count("x") == 60


def test_a_grammar_needs_an_engine_that_heeds_it() -> None:
    with pytest.raises(UnsupportedField, match=r"one engine cannot .* \(regex\)\. Leave it out"):
        check([1], grammar=REGEX)
    able = replace(INFO, capabilities=frozenset({"grammar"}))
    params = SamplingParams(max_tokens=4, grammar=REGEX)
    check_request(able, EngineRequest(request_id="r", prompt_token_ids=[1], sampling=params))
