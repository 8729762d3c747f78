"""A request's parameters in vLLM's own classes: what its ranges are, and what they cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.serialised import serialised
from serve.engine.protocol import EngineInfo, SamplingParams
from serve.errors import InvalidRequest

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


def test_prompt_logprobs_and_min_tokens_go_through() -> None:
    params = translated(num_prompt_logprobs=0, min_tokens=3)
    assert (params.prompt_logprobs, params.min_tokens) == (0, 3)
    assert params.skip_reading_prefix_cache
    assert params.all_stop_token_ids == {2, 7}  # what min_tokens holds back
    assert not translated().skip_reading_prefix_cache


def test_allowed_tokens_are_those_and_the_ones_that_end() -> None:
    allowed = frozenset({30, 20})
    assert translated(allowed_token_ids=allowed).allowed_token_ids == [2, 7, 20, 30]
    stops = frozenset({9})
    ended = translated(allowed_token_ids=allowed, stop_token_ids=stops, ignore_eos=True)
    assert ended.allowed_token_ids == [9, 20, 30]
    assert translated(allowed_token_ids=frozenset()).allowed_token_ids == [2, 7]
    assert translated().allowed_token_ids is None


def test_bad_words_are_tokens_already() -> None:
    params = translated(bad_words=((4,), (5, 6)))
    assert params.bad_words_token_ids == [[4], [5, 6]]
    assert params.clone().bad_words_token_ids == [[4], [5, 6]]
    assert params.bad_words == []  # text, which vLLM would split by a tokenizer of its own
    assert translated().bad_words_token_ids is None


GRAMMARS = (
    Grammar(kind="json_schema", text='{"type": "object"}'),
    Grammar(kind="regex", text="[ab]+"),
    Grammar(kind="choice", choices=("yes", 'no ::= "a"\nstart: x')),
    Grammar(kind="lark", text='start: "a" @b', parts=(("b", Grammar(kind="regex", text="b")),)),
)


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: str(grammar.kind))
def test_a_grammar_reaches_the_core_as_the_text_that_both_engines_compile(grammar: Grammar) -> None:
    from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder
    from vllm.v1.structured_output.request import get_structured_output_key

    params = translated(grammar=grammar)
    sent = MsgpackEncoder().encode(params.clone())
    received = MsgpackDecoder(type(params)).decode(sent)
    assert get_structured_output_key(received.structured_outputs)[1] == serialised(grammar)


def test_what_is_no_grammar_is_the_clients_error() -> None:
    with pytest.raises(InvalidRequest, match="JSON"):
        translated(grammar=Grammar(kind="json_schema", text="{"))
