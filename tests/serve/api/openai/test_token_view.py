"""Ids, prompts and counts on the wire, whole and streamed, in vLLM's shapes."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Completion

from serve.api.openai.schemas import ChatCompletion as ChatShape
from serve.api.openai.schemas import Completion as CompletionShape
from tests.serve.api.house import (
    ANSWER,
    EOS,
    MODEL,
    TOKENIZER,
    chat,
    events_of,
    house,
    pipeline_of,
    script_of,
)

SHAPES: dict[str, Any] = {
    "/v1/completions": CompletionShape,
    "/v1/chat/completions": ChatShape,
}
PROMPT = "Where is the log?"
IDS = TOKENIZER.encode(PROMPT, add_special_tokens=False)


async def asked(path: str = "/v1/completions", **fields: Any) -> Any:
    body = {"model": MODEL, "prompt": PROMPT} if path == "/v1/completions" else chat()
    async with house().client() as client:
        response = await client.post(path, json={**body, **fields})
    assert response.status_code == 200, response.text
    if not fields.get("stream"):
        SHAPES[path].model_validate(response.json())
    return events_of(response.text)[:-1] if fields.get("stream") else response.json()


async def test_an_echo_with_logprobs_has_all_that_lm_eval_reads() -> None:
    answer = await asked(prompt=IDS, echo=True, max_tokens=1, logprobs=1, temperature=0)
    (choice,) = answer["choices"]
    logprobs = choice["logprobs"]
    assert choice["text"] == f"{PROMPT}The"
    assert len(logprobs["tokens"]) == len(IDS) + 1
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert all(value < 0 for value in logprobs["token_logprobs"][1:])
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice["text"].startswith(token, offset)
    for token, top in zip(logprobs["tokens"][1:], logprobs["top_logprobs"][1:], strict=True):
        assert token in top


async def test_an_answer_that_ends_at_once_has_its_end_behind_an_echo() -> None:
    async with house(pipeline_of(script=[EOS])).client() as client:
        body = {"model": MODEL, "prompt": IDS, "echo": True, "logprobs": 0, "max_tokens": 1}
        answer = (await client.post("/v1/completions", json=body)).json()
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (PROMPT, "stop")
    assert len(choice["logprobs"]["tokens"]) == len(IDS) + 1
    assert choice["logprobs"]["text_offset"][-1] == len(PROMPT)


@pytest.mark.parametrize("num_prompts", [1, 3])
async def test_a_streamed_echo_is_the_whole_one_in_pieces(num_prompts: int) -> None:
    prompts = [PROMPT, "the audit log", "你好"][:num_prompts]
    fields = {"prompt": prompts, "echo": True, "n": 2, "logprobs": 1, "max_tokens": 4}
    whole = await asked(**fields)
    told: dict[int, dict[str, Any]] = {}
    for chunk in await asked(stream=True, **fields):
        for choice in chunk["choices"]:
            seen = told.setdefault(choice["index"], {"text": ""})
            seen["text"] += choice["text"]
            for name, values in (choice["logprobs"] or {}).items():
                seen.setdefault(name, []).extend(values)
    assert len(told) == 2 * num_prompts
    for choice in whole["choices"]:
        assert told[choice["index"]] == {"text": choice["text"], **choice["logprobs"]}


async def test_ids_of_prompts_and_answers_are_each_choices_own() -> None:
    fields = {"prompt": [PROMPT, "log"], "n": 2, "return_token_ids": True, "prompt_logprobs": 0}
    answer = await asked(**fields)
    Completion.model_validate(answer)
    for choice in answer["choices"]:
        ids = IDS if choice["index"] < 2 else TOKENIZER.encode("log", add_special_tokens=False)
        assert choice["prompt_token_ids"] == ids
        assert choice["token_ids"] == script_of(ANSWER)
        first, *rest = choice["prompt_logprobs"]
        assert first is None
        for token_id, told in zip(ids[1:], rest, strict=True):
            value = told[str(token_id)]
            assert set(told) == {str(token_id)}
            assert value["decoded_token"] == TOKENIZER.token_text(token_id)
            assert (value["rank"], round(value["logprob"], 3)) == (1, -0.693)


async def test_in_a_stream_they_come_with_the_text() -> None:
    chunks = await asked(
        prompt=[PROMPT, "log"], stream=True, return_token_ids=True, prompt_logprobs=1
    )
    prompts: dict[int, list[int]] = {}
    ids: dict[int, list[int]] = {}
    for chunk in chunks:
        (choice,) = chunk["choices"]
        index = choice["index"]
        if "prompt_token_ids" in choice:
            assert index not in ids
            prompts[index] = choice["prompt_token_ids"]
            assert len(choice["prompt_logprobs"]) == len(prompts[index])
        ids.setdefault(index, []).extend(choice.get("token_ids", ()))
    assert prompts[0] == IDS
    assert set(prompts) == {0, 1}
    assert ids == {0: script_of(ANSWER), 1: script_of(ANSWER)}


async def test_who_asks_for_none_of_it_gets_no_field_of_it() -> None:
    answer = await asked()
    (choice,) = answer["choices"]
    assert set(choice) == {"index", "text", "logprobs", "finish_reason"}


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
async def test_each_chunk_counts_so_far(path: str, has_end: bool) -> None:
    options = {"continuous_usage_stats": True, "include_usage": has_end}
    chunks = await asked(path, stream=True, stream_options=options, max_tokens=5)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 5
    assert len({chunk["usage"]["prompt_tokens"] for chunk in chunks}) == 1
    assert all(
        u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"]
        for u in (chunk["usage"] for chunk in chunks)
    )
    assert (chunks[-1]["choices"] == []) == has_end
    assert not any("token_ids" in choice for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_chat_tells_of_its_prompt_once(stream: bool) -> None:
    fields = {"return_token_ids": True, "prompt_logprobs": 1, "max_tokens": 3, "n": 2}
    told = await asked("/v1/chat/completions", stream=stream, **fields)
    parts = told if stream else [told]
    prompts = [part for part in parts if "prompt_token_ids" in part]
    assert len(prompts) == 1
    assert len(prompts[0]["prompt_logprobs"]) == len(prompts[0]["prompt_token_ids"])
    ids = [i for part in parts for c in part["choices"] for i in c.get("token_ids", ())]
    assert sorted(ids) == sorted(script_of(ANSWER)[:3] * 2)


async def test_tokens_may_be_named_by_their_ids() -> None:
    fields = {"return_tokens_as_token_ids": True, "max_tokens": 2, "temperature": 0}
    text = await asked(logprobs=2, **fields)
    names = [f"token_id:{i}" for i in script_of(ANSWER)[:2]]
    logprobs = text["choices"][0]["logprobs"]
    assert logprobs["tokens"] == names
    assert all(key.startswith("token_id:") for top in logprobs["top_logprobs"] for key in top)
    talk = await asked("/v1/chat/completions", logprobs=True, top_logprobs=2, **fields)
    content = talk["choices"][0]["logprobs"]["content"]
    assert [token["token"] for token in content] == names
    assert b"".join(bytes(token["bytes"]) for token in content).decode() == "The audit"


async def test_2048_prompts_are_answered_in_order() -> None:
    answer = await asked(prompt=[PROMPT] * 2048, max_tokens=1)
    assert [choice["index"] for choice in answer["choices"]] == list(range(2048))
    assert answer["usage"]["completion_tokens"] == 2048
