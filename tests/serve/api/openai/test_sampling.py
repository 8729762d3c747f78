"""The fields that both completion routes share, and the parameters that they come to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.api.openai.fields import FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.refusals import cut
from serve.api.openai.sampling import MAX_STOP_CHARS, MAX_STOPS, SamplingFields
from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest


def fields(**given: Any) -> SamplingFields:
    return parse_body(SamplingFields, {"model": "demo", **given}, FIELDS)


def params(**given: Any) -> SamplingParams:
    return fields(**given).sampling(max_tokens=5, num_logprobs=None)


def test_what_is_not_given_is_openais_default() -> None:
    assert params() == SamplingParams(max_tokens=5)
    nulls = dict.fromkeys(("temperature", "top_p", "top_k", "seed", "logit_bias", "stop_token_ids"))
    assert params(**nulls) == params()


def test_zero_is_not_the_default() -> None:
    given = params(temperature=0, seed=0, min_p=0)
    assert (given.temperature, given.seed, given.min_p) == (0.0, 0, 0.0)


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**63 - 1])
def test_a_seed_is_any_whole_number_of_64_bits(seed: int) -> None:
    assert params(seed=seed).seed == seed


@pytest.mark.parametrize(("top_k", "expected"), [(-1, 0), (0, 0), (1, 1), (50, 50)])
def test_minus_one_is_vllms_word_for_all(top_k: int, expected: int) -> None:
    assert params(top_k=top_k).top_k == expected


def test_biases_are_by_token_id() -> None:
    assert params(logit_bias={"7": -100, "12": 1.5}).logit_bias == {7: -100, 12: 1.5}


@pytest.mark.parametrize(
    "name", ["", "-1", "1.0", "a", "٣", "12345678901", "05", "00", " 5", "x" * 9999]
)
def test_a_bias_of_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        params(logit_bias={name: 1, "5": 2})
    assert refused.value.param == "logit_bias"
    message = str(refused.value)
    assert message.startswith(f"logit_bias has the name {json.dumps(cut(name))}, ")
    assert "plain digits" in message


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (None, ()),
        ([], ()),
        ("", ()),
        ({}, ()),
        (False, ()),
        ([""], ()),
        (["", "a"], ("a",)),
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (["x" * MAX_STOP_CHARS] * MAX_STOPS, ("x" * MAX_STOP_CHARS,) * MAX_STOPS),
    ],
)
def test_stop_is_one_string_or_several(stop: Any, expected: tuple[str, ...]) -> None:
    assert fields(stop=stop).stops() == expected


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ([None], r"stop\[0\] must be a string, not null\."),
        ("x" * (MAX_STOP_CHARS + 1), f"has {MAX_STOP_CHARS + 1} characters"),
        (["a"] * (MAX_STOPS + 1), f"has {MAX_STOPS + 1} strings: at most {MAX_STOPS}"),
        (["x", 1], r"stop\[1\] must be a string, not 1\."),
        ({"a": 1}, "must be a string or an array of strings, not an object"),
    ],
)
def test_other_stops_are_refused_with_the_limit_and_the_value(stop: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        fields(stop=stop).stops()
    assert (refused.value.param or "").startswith("stop")


def test_stream_options_matter_in_streams_only() -> None:
    assert not fields(stream_options={"include_usage": True}).has_usage_chunk
    assert not fields(stream=False, stream_options={"include_usage": True}).has_usage_chunk
    assert fields(stream=True, stream_options={"include_usage": True}).has_usage_chunk
    assert not fields(stream=True).has_usage_chunk


@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        [],
        False,
        {"include_usage": None},
        {"continuous_usage_stats": True},
        {"include_obfuscation": True, "continuous_usage_stats": False},
        {"chunk_include_usage": False, "x": None},
    ],
)
def test_options_that_change_no_answer_are_accepted(options: Any) -> None:
    assert not fields(stream=True, stream_options=options).has_usage_chunk


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("top_k", 40.0, 40),
        ("top_k", -1.0, 0),
        ("top_k", -0.0, 0),
        ("seed", 7.0, 7),
        ("seed", -0.0, 0),
        ("seed", 1e3, 1000),
        ("stop_token_ids", [5.0, 6], frozenset({5, 6})),
        ("temperature", 1, 1.0),
        ("temperature", -0.0, 0.0),
    ],
)
def test_whole_numbers_may_have_a_point(name: str, value: Any, expected: Any) -> None:
    given = getattr(params(**{name: value}), name)
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "seed",
            -(2**63) - 1,
            "seed must be at least -9223372036854775808, not -9223372036854775809",
        ),
        ("seed", 2**64, "seed must be at most 9223372036854775807, not 18446744073709551616"),
        ("top_k", -(2**70), "top_k must be at least -1, not -1180591620717411303424"),
        ("max_tokens", 2**63, "max_tokens must be at most 9223372036854775807"),
        ("n", 1.5, "n must be an integer, not 1.5"),
        ("n", True, "n must be an integer, not true"),
        ("temperature", 10**400, "temperature must be a number that a 64-bit float can hold"),
        ("temperature", "0.7", 'must be a number, not the string "0.7"; send it without quotes'),
        ("temperature", True, "temperature must be a number, not true"),
        ("stream", "true", "stream must be true or false, not the string"),
        ("stream", 1, "stream must be true or false, not 1"),
        ("stop_token_ids", [1, 2.5], r"stop_token_ids\[1\] must be an integer, not 2.5"),
    ],
)
def test_other_values_are_refused_in_the_words_of_json(name: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        fields(**{name: value})
    assert refused.value.param is not None
    assert refused.value.param.startswith(name)
