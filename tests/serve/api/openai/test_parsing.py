"""Requests that have killed, stalled or misled servers of this kind: each is a plain 4xx.

The table follows the list of known defects in docs (CVEs of vLLM, SGLang, llama.cpp and others).
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from serve.errors import UnsupportedField
from tests.serve.api.house import MODEL, TOKENIZER, chat, house, is_free, pipeline_of

BIG = 10**6
VOCAB = TOKENIZER.vocab_size
SCHEMA: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": [{"type": kind, **fields}]}])


def message(**fields: Any) -> dict[str, Any]:
    return chat(messages=[fields])


def tool(**function: Any) -> dict[str, Any]:
    return chat(tools=[{"type": "function", "function": function}])


CHAT: dict[str, dict[str, Any]] = {
    "n of a million": chat(n=BIG),
    "n of 129": chat(n=129),
    "n of 0": chat(n=0),
    "n below 0": chat(n=-1),
    "n of 2**63-1": chat(n=2**63 - 1),
    "n with a fraction": chat(n=1.5),
    "n as a truth": chat(n=True),
    "best_of": chat(best_of=2),
    "max_tokens of 0": chat(max_tokens=0),
    "max_tokens below -1": chat(max_tokens=-2),
    "max_tokens of 2**63": chat(max_tokens=2**63),
    "max_tokens of 10**400": chat(max_tokens=10**400),
    "a temperature of 10**400": chat(temperature=10**400),
    "two different max_tokens": chat(max_tokens=1, max_completion_tokens=2),
    "a hot temperature": chat(temperature=999999),
    "a temperature below 0": chat(temperature=-0.1),
    "a temperature of text": chat(temperature="1"),
    "top_p below 0": chat(top_p=-1),
    "top_p of 0": chat(top_p=0),
    "top_p over 1": chat(top_p=1.01),
    "top_k below -1": chat(top_k=-2),
    "top_k with a point": chat(top_k=1.5),
    "min_p over 1": chat(min_p=1.5),
    "a repetition penalty of 0": chat(repetition_penalty=0),
    "a repetition penalty below 0": chat(repetition_penalty=-1),
    "a repetition penalty over 2": chat(repetition_penalty=1e30),
    "a presence penalty over 2": chat(presence_penalty=3),
    "a frequency penalty below -2": chat(frequency_penalty=-1e300),
    "a seed with a point": chat(seed=0.5),
    "logprobs as a number": chat(logprobs=5),
    "top_logprobs over 20": chat(logprobs=True, top_logprobs=21),
    "top_logprobs below 0": chat(logprobs=True, top_logprobs=-1),
    "top_logprobs alone": chat(top_logprobs=1),
    "prompt_logprobs of -1": chat(prompt_logprobs=-1),
    "half a million stops": chat(stop=["a"] * 200_000),
    "17 stops": chat(stop=list("abcdefghijklmnopq")),
    "a long stop": chat(stop="x" * 1025),
    "a stop of numbers": chat(stop=[1]),
    "a stop of nulls": chat(stop=[None]),
    "bad words": chat(bad_words=["x"] * 50_000),
    "allowed tokens": chat(allowed_token_ids=list(range(BIG // 10))),
    "stop tokens out of vocabulary": chat(stop_token_ids=[VOCAB]),
    "stop tokens below 0": chat(stop_token_ids=[-1]),
    "129 stop tokens": chat(stop_token_ids=[1] * 129),
    "a bias out of vocabulary": chat(logit_bias={str(VOCAB): 1}),
    "a bias below 0": chat(logit_bias={"-1": 1}),
    "a bias for a word": chat(logit_bias={"word": 1}),
    "a bias for a digit of another script": chat(logit_bias={"٣": 1}),
    "a bias over 100": chat(logit_bias={"1": 101}),
    "1025 biases": chat(logit_bias={str(i): 1 for i in range(1025)}),
    "a bias of text": chat(logit_bias={"1": "x"}),
    "a chat template": chat(chat_template="{{ 'a' * 10**9 }}"),
    "template arguments": chat(chat_template_kwargs={"tokenize": True}),
    "a nested chat template": chat(chat_template_kwargs={"chat_template": "x"}),
    "documents": chat(documents=[{"text": "x"}]),
    "an image": part("image_url", image_url={"url": "http://169.254.169.254/"}),
    "an image in data": part("image_url", image_url={"url": "data:image/png;base64,AAAA"}),
    "a video": part("video_url", video_url={"url": "http://a\\@b/"}),
    "audio": part("input_audio", input_audio={"data": "", "format": "wav"}),
    "a file": part("file", file={"file_id": "x"}),
    "a refusal part": part("refusal", refusal="x"),
    "a part of another kind": part("text", text=5),
    "parts over the context": message(role="user", content=[{"type": "text", "text": "x"}] * 2000),
    "mm arguments": chat(mm_processor_kwargs={"x": 1}),
    "a regex of another type": chat(guided_regex=["(a+)+$"]),
    "no grammar": chat(structured_outputs={"grammar": ["root"]}),
    "two formats": chat(response_format=SCHEMA, guided_json={"type": "object"}),
    "a schema of text": chat(response_format={"type": "json_object", "schema": "{}"}),
    "a format of another type": chat(response_format={"type": "xml"}),
    "129 tools": chat(tools=[{"type": "function", "function": {"name": "f"}}] * 129),
    "a tool of another type": chat(tools=[{"type": "custom"}]),
    "a tool without a name": tool(description="x"),
    "a tool with a path for a name": tool(name="../../etc/passwd"),
    "a tool with a long name": tool(name="x" * 65),
    "a tool with a list of parameters": tool(name="f", parameters=[1]),
    "a tool with an extra": tool(name="f", pattern="(a+)+$"),
    "a tool as strict as text": tool(name="f", strict="yes"),
    "a forced tool": chat(tool_choice={"type": "function", "function": {"name": "f"}}),
    "a required tool": chat(tool_choice="required"),
    "functions without a name": chat(functions=[{"description": "f"}]),
    "two tools of one name": chat(tools=[{"type": "function", "function": {"name": "f"}}] * 2),
    "no messages": chat(messages=[]),
    "null messages": chat(messages=None),
    "2049 messages": chat(messages=[{"role": "user", "content": ""}] * 2049),
    "messages of numbers": chat(messages=[1] * 100_000),
    "a message without a role": message(content="x"),
    "a message of another role": message(role="root", content="x"),
    "a message of a null role": message(role=None, content="x"),
    "a message with a number": message(role="user", content=1),
    "a message with null": message(role="user", content=None),
    "a message with extras": message(role="user", content="x", **{str(i): 0 for i in range(1000)}),
    "an assistant of a number": message(role="assistant", content=1),
    "a tool's message without an id": message(role="tool", content="x"),
    "a tool call without arguments": message(
        role="assistant", tool_calls=[{"id": "1", "type": "function", "function": {"name": "f"}}]
    ),
    "a prompt over the context": chat("word " * 2000),
    "no model": {"messages": [{"role": "user", "content": "x"}]},
    "another model": chat(model="gpt-9"),
    "a path for a model": chat(model="../../etc/passwd"),
    "a long model": chat(model="x" * 500_000),
    "a model of another type": chat(model=["demo"]),
    "options of another type": chat(stream=True, stream_options=["include_usage"]),
    "unknown options": chat(stream=True, stream_options={"x": 1}),
    "a stream of text": chat(stream="true"),
    "a negative discard (llama.cpp)": chat(n_discard=-1),
    "an unknown field": chat(zzz=1),
    "a field of dunder": chat(__class__="x"),
    "beam search": chat(use_beam_search=True),
    "more least than most tokens": chat(min_tokens=5, max_tokens=4),
    "min_tokens below 0": chat(min_tokens=-1),
    "a bad word that is none": chat(bad_words=[""]),
    "257 bad words": chat(bad_words=["x"] * 257),
    "a long bad word": chat(bad_words=["x" * 257]),
    "an allowed id out of range": chat(allowed_token_ids=[10**6]),
    "21 logprobs of the prompt": chat(prompt_logprobs=21),
    "logprobs of the whole vocabulary": chat(prompt_logprobs=-1),
    "a LoRA": chat(lora_path="/etc"),
    "logits processors": chat(logits_processors=["os.system"]),
    "KV transfer": chat(kv_transfer_params={"x": 1}),
    "a long cache salt": chat(cache_salt="x" * 129),
    "a priority": chat(priority=-5),
    "a prompt cut to nothing": chat(truncate_prompt_tokens=0),
    "a prompt cut to more than fits": chat(truncate_prompt_tokens=1025),
    "a side that is none": chat(truncation_side="middle"),
    "echo": chat(echo=True),
}


def text(prompt: Any = "x", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": prompt, **fields}


COMPLETIONS: dict[str, dict[str, Any]] = {
    "no prompt": {"model": MODEL},
    "a null prompt": text(None),
    "an empty prompt": text(""),
    "no prompts": text([]),
    "an empty prompt among others": text(["x", ""]),
    "2049 prompts": text(["x"] * 2049),
    "2049 prompts of ids": text([[1]] * 2049),
    "129 prompts and n of 128": text(["x"] * 129, n=128),
    "more tokens than are held": text(["x"] * 2048, n=8, max_tokens=-1),
    "a hundred thousand prompts": text(["x"] * 100_000),
    "ids out of vocabulary": text([VOCAB]),
    "ids far out of vocabulary": text([2**62]),
    "ids below 0": text([-1]),
    "ids with a fraction": text([1.5]),
    "ids beyond 64 bits": text([2**64]),
    "ids of truths": text([True]),
    "empty ids": text([[]]),
    "empty ids among others": text([[1], []]),
    "ids over the context": text([1] * 1025),
    "ids over the context among others": text([[1], [1] * 1025]),
    "ids and words": text([1, "x"]),
    "words and ids": text(["x", [1]]),
    "ids three deep": text([[[1]]]),
    "a prompt of another type": text({"x": 1}),
    "a prompt of a number": text(5),
    "embeddings": text(prompt_embeds="gASV"),
    "logprobs over 20": text(logprobs=21),
    "logprobs below 0": text(logprobs=-1),
    "logprobs as a truth": text(logprobs=True),
    "best_of over n": text(best_of=16384),
    "best_of below n": text(n=2, best_of=1),
    "a suffix": text(suffix="x"),
    "a gap": text(suffix="x"),
    "a gap between ids": text([1], suffix="x"),
    "a gap that is repeated": text(suffix="x", echo=True),
    "a gap without special tokens": text(suffix="x", add_special_tokens=False),
    "no token of a prompt that is not repeated": text(max_tokens=0),
    "best_of 129": text(best_of=129),
    "a stream of the best": text(best_of=2, stream=True),
    "too many logprobs of prompts": text([[1] * 1000] * 60, prompt_logprobs=20, max_tokens=1),
    "too many logprobs of echoes": text([1] * 1000, n=60, logprobs=20, echo=True, max_tokens=1),
    "max_tokens of 0": text(max_tokens=0),
    "max_completion_tokens": text(max_completion_tokens=5),
    "messages": text(messages=chat()["messages"]),
}
TOKENS: dict[tuple[str, str], dict[str, Any]] = {
    ("/tokenize", "nothing"): {},
    ("/tokenize", "both"): {"prompt": "x", "messages": chat()["messages"]},
    ("/tokenize", "an empty prompt"): {"prompt": ""},
    ("/tokenize", "a prompt of ids"): {"prompt": [1]},
    ("/tokenize", "a chat template"): {**chat(), "chat_template": "x"},
    ("/tokenize", "an open end"): {**chat(), "continue_final_message": True},
    ("/tokenize", "two ends"): {
        **chat(),
        "add_generation_prompt": True,
        "continue_final_message": True,
    },
    ("/tokenize", "doubled special tokens"): {**chat(), "add_special_tokens": True},
    ("/tokenize", "tools for a prompt"): {"prompt": "x", "tools": [{"function": {"name": "f"}}]},
    ("/tokenize", "another model"): {"prompt": "x", "model": "y"},
    ("/detokenize", "nothing"): {},
    ("/detokenize", "out of vocabulary"): {"tokens": [VOCAB]},
    ("/detokenize", "below 0"): {"tokens": [-1]},
    ("/detokenize", "with a point"): {"tokens": [1.5]},
    ("/detokenize", "text"): {"tokens": "x"},
    ("/detokenize", "too many"): {"tokens": [1] * 1025},
}
CASES = [
    *(("/v1/chat/completions", name, body) for name, body in CHAT.items()),
    *(("/v1/completions", name, body) for name, body in COMPLETIONS.items()),
    *((path, name, body) for (path, name), body in TOKENS.items()),
]
HOUSE = house(pipeline_of())


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 150


@pytest.mark.parametrize(("path", "name", "body"), CASES, ids=[f"{p} {n}" for p, n, _ in CASES])
async def test_it_is_refused(path: str, name: str, body: dict[str, Any]) -> None:
    async with HOUSE.client() as client:
        response = await client.post(path, json=body)
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"].endswith((".", "?"))
    assert len(response.content) < 700, "a refusal repeats no input"
    assert is_free(HOUSE.pipeline)
    assert HOUSE.records.last.error_code == error["code"]


CANARY = "canary-7f3a"
WHERE: list[dict[str, Any]] = [
    message(role="user", content=[CANARY]),
    message(role="user", content=CANARY, zzz=CANARY),
    message(role="user", content=[{"type": "text", "text": CANARY, "x": CANARY}]),
    message(role="user", content={"text": CANARY}),
    message(role="assistant", tool_calls=CANARY),
    message(role="tool", content=CANARY),
    chat(messages=CANARY),
    chat(stop=[CANARY, 5]),
    chat(temperature=CANARY),
    chat(tools=[{"type": "function", "function": {"name": CANARY + "!"}}]),
    chat(user=CANARY, zzz=CANARY),
]


@pytest.mark.parametrize("body", WHERE, ids=range(len(WHERE)))
async def test_a_refusal_repeats_no_text(body: dict[str, Any]) -> None:
    async with HOUSE.client() as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert CANARY not in response.text


async def test_media_are_refused_by_the_name_of_their_field() -> None:
    async with HOUSE.client() as client:
        response = await client.post("/v1/chat/completions", json=CHAT["an image"])
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[0].type"
    assert error["code"] == UnsupportedField.code
    assert "text only" in error["message"]


async def test_a_misspelt_field_is_answered_with_the_right_one() -> None:
    async with HOUSE.client() as client:
        response = await client.post("/v1/chat/completions", json=chat(max_token=5))
    assert "max_tokens" in response.json()["error"]["message"]


async def test_a_megabyte_of_errors_is_one_short_answer() -> None:
    bad = {"role": "user", "content": 5, "x": 1}
    body = orjson.dumps(chat(messages=[bad] * 2000))
    async with HOUSE.client() as client:
        response = await client.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
    assert response.status_code == 400
    assert len(response.content) < 300
