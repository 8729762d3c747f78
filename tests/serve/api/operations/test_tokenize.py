"""Token routes: what the model would see of a prompt."""

from __future__ import annotations

import pytest

from tests.serve.api.house import house


async def test_token_routes_agree_with_each_other() -> None:
    async with house().client() as client:
        body = {"prompt": "Where is the 🙂?", "return_token_strs": True}
        answer = (await client.post("/tokenize", json=body)).json()
        back = (await client.post("/detokenize", json={"tokens": answer["tokens"]})).json()
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert answer["max_model_len"] == 1024
    assert back == {"prompt": body["prompt"]}


@pytest.mark.parametrize(("given", "expected"), [(None, True), (True, True), (False, False)])
async def test_special_tokens_are_added_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: bool | None, expected: bool
) -> None:
    home = house()
    asked: list[bool] = []

    async def encode(_prompt: object, *, add_special_tokens: bool) -> list[int]:
        asked.append(add_special_tokens)
        return [1]

    monkeypatch.setattr(home.pipeline, "encode", encode)
    async with home.client() as client:
        body = {"prompt": "x", "add_special_tokens": given}
        assert (await client.post("/tokenize", json=body)).status_code == 200
    assert asked == [expected]
