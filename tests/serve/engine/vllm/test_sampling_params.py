"""A request's parameters in vLLM's own classes: what its ranges are, and what they cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import EngineInfo, SamplingParams

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
    ("temperature", "expected"),
    [
        *((low, 0.0) for low in (0.0, 5e-324, 1e-46, 1e-40, 1e-9, 0.009)),
        *((kept, kept) for kept in (0.01, 0.7, 2.0)),
    ],
)
def test_temperatures_below_vllms_least_one_are_greedy(temperature: float, expected: float) -> None:
    assert translated(temperature=temperature).temperature == expected


def test_top_k_is_at_most_the_vocabulary() -> None:
    assert translated(top_k=10**9).top_k == 1000
    assert translated(top_k=0).top_k == 0


def test_every_seed_is_one_that_vllm_takes_as_a_seed() -> None:
    seeds = (0, 7, -7, -1, 1, 7 + 2**32, 7 - 2**32, 2**31, 2**63 - 1, -(2**63), 2**64)
    taken = [translated(seed=seed).seed for seed in seeds]
    assert taken == [translated(seed=seed).seed for seed in seeds]
    assert all(0 <= seed < 2**63 for seed in taken)
    # torch's generator of a CPU heeds the low 32 bits alone.
    assert len({seed % 2**32 for seed in taken}) == len(seeds)
    assert taken[:2] == [0, 7]
    assert translated(seed=None).seed is None


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
