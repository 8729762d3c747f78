"""The field table: what is ignored asks for nothing, what is refused would change the answer."""

from __future__ import annotations

from serve.api.openai.fields import IGNORED_FIELDS, UNSUPPORTED_FIELDS
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
