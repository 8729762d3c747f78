"""The field table: what is ignored asks for nothing, what is refused would change the answer."""

from __future__ import annotations

import pytest

from serve.api.openai.fields import FIELDS, IGNORED_FIELDS, UNSUPPORTED_FIELDS
from serve.api.openai.sampling import SamplingFields
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
            for value in field.neutral:
                response = await client.post("/v1/chat/completions", json=chat(**{name: value}))
                assert response.status_code == 200, (name, value)
            response = await client.post("/v1/chat/completions", json=chat(**{name: "asked"}))
            assert response.status_code == 400, name
            assert response.json()["error"]["code"] == "unsupported_parameter"
            assert response.json()["error"]["param"] == name


@pytest.mark.parametrize(
    "name",
    ["user", "safety_identifier", "metadata", "store", "service_tier", "prompt_cache_key"],
)
def test_what_official_clients_send_for_themselves_is_ignored(name: str) -> None:
    assert name in FIELDS.ignored


@pytest.mark.parametrize("name", ["functions", "echo", "suffix", "guided_json", "audio"])
def test_what_would_change_the_answer_is_refused_with_a_reason(name: str) -> None:
    assert FIELDS.refused[name].reason
    assert None in FIELDS.refused[name].neutral
