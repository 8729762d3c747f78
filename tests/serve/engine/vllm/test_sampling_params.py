"""A request's parameters in vLLM's own classes: what its ranges are, and what they cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.protocol import EngineInfo, Grammar, SamplingParams

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of vLLM's own imports

INFO = EngineInfo(
    name="vllm",
    max_model_len=512,
    max_num_seqs=8,
    kv_cache_tokens=4096,
    vocab_size=1000,
    eos_token_ids=frozenset({2, 7}),
    capabilities=frozenset(),
    dtype="float32",
    device="cpu",
)


def translated(**fields: Any) -> Any:
    from serve.engine.vllm.sampling_params import sampling_params

    return sampling_params(SamplingParams(**({"max_tokens": 5} | fields)), INFO)


def test_ends_of_sequence_are_plain_stop_tokens() -> None:
    params = translated(stop_token_ids=frozenset({9, 4}))
    assert params.stop_token_ids == [2, 4, 7, 9]
    assert params.ignore_eos  # vLLM would ask a tokenizer, which it does not have
    assert translated(stop_token_ids=frozenset({9}), ignore_eos=True).stop_token_ids == [9]


@pytest.mark.parametrize(
    ("temperature", "expected"), [(0.0, 0.0), (1e-9, 0.01), (0.01, 0.01), (0.7, 0.7)]
)
def test_temperatures_below_vllms_least_one_are_raised_and_zero_is_greedy(
    temperature: float, expected: float
) -> None:
    assert translated(temperature=temperature).temperature == expected


def test_top_k_is_at_most_the_vocabulary() -> None:
    assert translated(top_k=10**9).top_k == 1000
    assert translated(top_k=0).top_k == 0


@pytest.mark.parametrize(
    ("seed", "expected"), [(None, None), (0, 0), (2**63 - 1, 2**63 - 1), (-1, 2**63 - 1)]
)
def test_every_seed_is_one_that_vllm_takes_as_a_seed(seed: int | None, expected: int) -> None:
    assert translated(seed=seed).seed == expected


def test_the_rest_goes_through() -> None:
    params = translated(
        top_p=0.5,
        min_p=0.25,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        repetition_penalty=1.5,
        logit_bias={3: 2.0},
        num_logprobs=4,
    )
    assert (params.max_tokens, params.top_p, params.min_p) == (5, 0.5, 0.25)
    assert (params.presence_penalty, params.frequency_penalty) == (1.0, -1.0)
    assert (params.repetition_penalty, params.logit_bias) == (1.5, {3: 2.0})
    assert params.logprobs == 4
    assert translated().logprobs is None
    assert translated().structured_outputs is None


@pytest.mark.parametrize(
    ("grammar", "field", "value"),
    [
        (Grammar(kind="json_schema", text='{"type": "object"}'), "json", '{"type": "object"}'),
        (Grammar(kind="regex", text="[ab]+"), "regex", "[ab]+"),
        (Grammar(kind="choice", choices=("yes", "no")), "choice", ["yes", "no"]),
        (Grammar(kind="lark", text='start: "a"'), "grammar", 'start: "a"'),
        (Grammar(kind="structural", text='{"format": {}}'), "structural_tag", '{"format": {}}'),
    ],
    ids=lambda value: value.kind if isinstance(value, Grammar) else "",
)
def test_a_grammar_is_one_of_vllms_structured_outputs(
    grammar: Grammar, field: str, value: object
) -> None:
    outputs = translated(grammar=grammar).structured_outputs
    names = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")
    given = {name: getattr(outputs, name) for name in names if getattr(outputs, name) is not None}
    assert given == {field: value}
