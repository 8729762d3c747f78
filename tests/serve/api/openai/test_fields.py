"""The field table: what is ignored asks for nothing, what is refused would change the answer."""

from __future__ import annotations

import pytest

from serve.api.openai.fields import FIELDS, IGNORED_FIELDS, UNSUPPORTED_FIELDS
from serve.api.openai.messages import FACTS, MARKS, THOUGHTS
from serve.api.openai.sampling import SamplingFields
from tests.house.tree import ROOT
from tests.serve.api.house import chat, house


async def test_ignored_fields_are_accepted_with_any_value() -> None:
    assert not IGNORED_FIELDS.keys() & (UNSUPPORTED_FIELDS.keys() | SamplingFields.model_fields)
    async with house().client() as client:
        for name in IGNORED_FIELDS:
            response = await client.post("/v1/chat/completions", json=chat(**{name: {"x": [1]}}))
            assert response.status_code == 200, name


async def test_neutral_values_of_unsupported_fields_are_accepted_and_others_are_not() -> None:
    async with house().client() as client:
        for name, field in UNSUPPORTED_FIELDS.items():
            empty = (None, "", [], {}) if not field.is_wish_if_empty else (None, "", [])
            false = () if any(neutral is True for neutral in field.neutral) else (False,)
            for value in (*field.neutral, *empty, *false):
                response = await client.post("/v1/chat/completions", json=chat(**{name: value}))
                assert response.status_code == 200, (name, value)
            response = await client.post("/v1/chat/completions", json=chat(**{name: "asked"}))
            assert response.status_code == 400, name
            assert response.json()["error"]["code"] == "unsupported_parameter"
            assert response.json()["error"]["param"] == name


@pytest.mark.parametrize(
    "name",
    ["user", "safety_identifier", "metadata", "store", "prompt_cache_key"],
)
def test_what_official_clients_send_for_themselves_is_ignored(name: str) -> None:
    assert name in FIELDS.ignored


async def test_samplers_that_are_off_may_bring_their_parameters() -> None:
    off = {"mirostat": 0, "dry_multiplier": 0, "xtc_probability": 0.0, "dynatemp_range": 0}
    theirs = {"mirostat_tau": 5, "mirostat_eta": 0.1, "dry_base": 1.75, "dynatemp_exponent": 1}
    async with house().client() as client:
        for given in (off | theirs, theirs, {"repeat_last_n": 64}):
            response = await client.post("/v1/chat/completions", json=chat(**given))
            assert response.status_code == 200, response.text
        for given in (off | theirs | {"mirostat": 2}, {"dry_multiplier": 0.8}):
            response = await client.post("/v1/chat/completions", json=chat(**given))
            assert response.json()["error"]["code"] == "unsupported_parameter"


@pytest.mark.parametrize("name", ["echo", "suffix", "audio", "chat_template"])
def test_what_would_change_the_answer_is_refused_with_a_reason(name: str) -> None:
    assert FIELDS.refused[name].reason
    assert None in FIELDS.refused[name].neutral


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("do_sample", False),
        ("web_search_options", {}),
        ("best_of", True),
        ("modalities", ["text", "audio"]),
        ("top_n_sigma", 1),
    ],
)
def test_a_value_that_asks_for_something_is_not_neutral(name: str, value: object) -> None:
    assert not FIELDS.refused[name].is_neutral(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length_penalty", 1.0),
        ("best_of", 1.0),
        ("typical_p", 1),
        ("top_n_sigma", -1),
        ("top_n_sigma", -1.0),
    ],
)
def test_a_default_may_be_written_as_any_number(name: str, value: object) -> None:
    assert FIELDS.refused[name].is_neutral(value)


def test_the_page_names_whatever_is_dropped() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    for name in (*IGNORED_FIELDS, *FACTS, *THOUGHTS, *MARKS):
        assert f"`{name}`" in page, name
