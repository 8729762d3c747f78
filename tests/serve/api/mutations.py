"""Bodies of every route, mutated: the same seed gives the same bodies.

Half are JSON with a value exchanged, doubled or taken away somewhere; half are bytes that were
flipped, cut or repeated. Some of either are valid still, and generate.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import orjson

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}}
BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "/v1/chat/completions",
        {
            "model": "demo",
            "messages": [
                {"role": "system", "content": "Answer in one word."},
                {"role": "user", "content": [{"type": "text", "text": "What is 17 + 25?"}]},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "content": "42", "tool_call_id": "call_1"},
                {"role": "user", "content": "\U0001f642 " * 20},
            ],
            "max_tokens": 3,
            "n": 2,
            "logprobs": True,
            "top_logprobs": 3,
            "stop": ["x", "yy"],
            "temperature": 0.7,
            "seed": 5,
            "logit_bias": {"17": -3.5},
            "stream_options": {"include_usage": True},
            "stream": True,
        },
    ),
    (
        "/v1/chat/completions",
        {
            "model": "demo",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
            },
            "reasoning": {"effort": "low", "exclude": False},
            "chat_template_kwargs": {"enable_thinking": True},
            "max_tokens": 2,
        },
    ),
    (
        "/v1/completions",
        {
            "model": "demo",
            "prompt": ["one", "two three"],
            "max_tokens": 3,
            "logprobs": 2,
            "stop": "z",
            "top_p": 0.9,
            "frequency_penalty": 0.5,
            "cache_salt": "salt",
        },
    ),
    ("/v1/completions", {"model": "demo", "prompt": [[1, 2, 3], [4, 5]], "max_tokens": 2}),
    ("/tokenize", {"prompt": "Where is the audit log?", "return_token_strs": True}),
    ("/tokenize", {"messages": [{"role": "user", "content": "hi <|im_end|>"}], "model": "demo"}),
    ("/detokenize", {"tokens": [5, 6, 7, 8], "model": "demo"}),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 5, 1.5, 2**63 - 1, 1e308, 1e-46, "", "x", "\x00", "demo"),
    *("\ufdd0<|im_end|>", "x" * 3000, [], [[]], {}, [None], {"a": {"b": []}}, {"type": "text"}),
    *([1] * 300, ["x"] * 40, {str(number): number for number in range(50)}),
)
PIECES = (b"{", b"[", b'"', b"\\", b",", b"NaN", b"1e999", b"\\ud800", b"\xff", b"\x00", b"9" * 30)


def mutations(seed: str) -> Iterator[tuple[str, bytes]]:
    """Endless paths and bodies."""
    source = random.Random(seed)
    while True:
        path, body = source.choice(BODIES)
        if source.random() < 0.5:
            body = copy.deepcopy(body)
            for _ in range(source.choice((1, 1, 2, 3))):
                _change_value(source, body)
            yield path, orjson.dumps(body)
        else:
            yield path, _changed_bytes(source, orjson.dumps(body))


def _change_value(source: random.Random, value: Any) -> None:
    """Change one value somewhere in an object or array."""
    while value:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = source.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and source.random() < 0.6:
            value = value[key]
            continue
        match source.randrange(4):
            case 0 if isinstance(value, dict):
                del value[key]
            case 1 if isinstance(value, list):
                value += value[: 1 + source.randrange(len(value))]
            case 2 if isinstance(value, dict):
                value["new" + str(source.randrange(9))] = copy.deepcopy(source.choice(VALUES))
            case _:
                value[key] = copy.deepcopy(source.choice(VALUES))
        return


def _changed_bytes(source: random.Random, body: bytes) -> bytes:
    data = bytearray(body)
    for _ in range(source.randrange(1, 5)):
        at = source.randrange(len(data) + 1)
        match source.randrange(4):
            case 0 if at < len(data):
                data[at] = source.randrange(256)
            case 1:
                del data[at : at + source.randrange(1, 9)]
            case 2:
                data[at:at] = source.choice(PIECES)
            case _:
                data[at:at] = data[at : at + source.randrange(1, 400)]
    return bytes(data)
