"""Token routes: what the model would see of a prompt."""

from __future__ import annotations

from tests.serve.api.house import (
    house,
)


async def test_token_routes_agree_with_each_other() -> None:
    async with house().client() as client:
        body = {"prompt": "Where is the 🙂?", "return_token_strs": True}
        answer = (await client.post("/tokenize", json=body)).json()
        back = (await client.post("/detokenize", json={"tokens": answer["tokens"]})).json()
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert answer["max_model_len"] == 1024
    assert back == {"prompt": body["prompt"]}
