"""The fields that both completion routes share, and the parameters that they come to."""

from __future__ import annotations

from typing import Any

import pytest

from serve.api.openai.fields import FIELDS
from serve.api.openai.parsing import parse_body
from serve.api.openai.sampling import MAX_STOP_CHARS, MAX_STOPS, SamplingFields
from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest, UnsupportedField


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


@pytest.mark.parametrize(("top_k", "expected"), [(-1, 0), (0, 0), (1, 1), (50, 50)])
def test_minus_one_is_vllms_word_for_all(top_k: int, expected: int) -> None:
    assert params(top_k=top_k).top_k == expected


def test_biases_are_by_token_id() -> None:
    assert params(logit_bias={"7": -100, "12": 1.5}).logit_bias == {7: -100, 12: 1.5}


@pytest.mark.parametrize("name", ["", "-1", "1.0", "a", "٣", "12345678901"])
def test_a_bias_of_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        params(logit_bias={name: 1})
    assert refused.value.param == "logit_bias"


@pytest.mark.parametrize(
    ("stop", "expected"), [(None, ()), ([], ()), ("a", ("a",)), (["a", "b"], ("a", "b"))]
)
def test_stop_is_one_string_or_several(stop: Any, expected: tuple[str, ...]) -> None:
    assert fields(stop=stop).stops() == expected


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ("", "has 0 characters: 1 to"),
        ("x" * (MAX_STOP_CHARS + 1), f"has {MAX_STOP_CHARS + 1} characters"),
        (["a"] * (MAX_STOPS + 1), f"has {MAX_STOPS + 1} strings: at most {MAX_STOPS}"),
        ([1], "must be a string or an array of strings"),
        ({"a": 1}, "must be a string or an array of strings"),
    ],
)
def test_other_stops_are_refused_with_the_limit_and_the_value(stop: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        fields(stop=stop).stops()
    assert refused.value.param == "stop"


def test_stream_options_are_for_streams() -> None:
    with pytest.raises(InvalidRequest, match="set stream to true"):
        fields(stream_options={"include_usage": True}).check_shared()
    streamed = fields(stream=True, stream_options={"include_usage": True})
    streamed.check_shared()
    assert streamed.has_usage_chunk
    assert not fields(stream=True).has_usage_chunk


def test_only_text_is_a_format() -> None:
    fields(response_format={"type": "text"}).check_shared()
    with pytest.raises(UnsupportedField, match="cannot be constrained"):
        fields(response_format={"type": "json_object"}).check_shared()
