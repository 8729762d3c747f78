"""Prompts of real models: spans have the ids of the whole, and turns are appended.

REAL_MODELS=FOLDER has the models; without it nothing runs. No weights are read.
"""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.cli import show
from serve.pipeline.chat_text import chat_text
from serve.pipeline.events import ChatPrompt
from serve.pipeline.guard import encode_plainly
from serve.pipeline.render import Renderer
from serve.pipeline.span_cache import SpanCache
from tests.house.tree import ROOT
from tests.real.models import FOLDER_VARIABLE, MODELS, RealModel, placed

NUM_TURNS = 20
CHATTING = [model for model in MODELS if model.has_template]


@functools.cache
def renderer_of(model: RealModel) -> Renderer:
    try:
        folder = placed(model)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if folder is None:
        pytest.skip(f"{FOLDER_VARIABLE} names no folder of real models")
    return Renderer.load(folder)


@functools.cache
def texts() -> list[str]:
    """Prose, code, tables and Chinese, in pieces."""
    files = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("serve/pipeline/*.py")]
    whole = "".join(file.read_text("utf-8") for file in sorted(files))
    source = random.Random(0)
    starts = [source.randrange(len(whole)) for _ in range(200)]
    return [whole[start : start + source.randrange(3, 900)] for start in starts]


def turns(model: RealModel) -> list[dict[str, Any]]:
    """A system prompt, then questions, calls with results where there can be, and answers.

    None names a control token: then all is encoded by the guard's copy of the tokenizer, once more.
    """
    messages: list[dict[str, Any]]
    source = (text for text in texts() if "<|" not in text)
    messages = [{"role": "system", "content": next(source) * 4}]
    for number in range(NUM_TURNS):
        messages.append({"role": "user", "content": next(source)})
        if model.has_tools:
            function: dict[str, Any] = {"name": "read", "arguments": f'{{"path": "log/{number}"}}'}
            call: dict[str, Any] = {
                "id": f"call_{number}",
                "type": "function",
                "function": function,
            }
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": next(source)})
        messages.append({"role": "assistant", "content": f"It is so: {next(source)}"})
    return messages


def prompt_of(model: RealModel, messages: list[dict[str, Any]]) -> ChatPrompt:
    function: dict[str, Any] = {
        "name": "read",
        "description": "Reads.",
        "parameters": {"type": "object"},
    }
    tools = ({"type": "function", "function": function},) if model.has_tools else ()
    return ChatPrompt(messages=tuple(messages), tools=tools)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_spans_have_the_ids_of_the_whole(model: RealModel) -> None:
    tokenizer = renderer_of(model).tokenizer
    guard = tokenizer._guard
    assert guard._cuts is not None
    names = [name for name in tokenizer.added_ids if name.strip()][:40]
    source = random.Random(1)
    for _ in range(300):
        pieces = [source.choice(names if source.random() < 0.4 else texts()) for _ in range(9)]
        text = "".join(pieces)
        joined = [
            i for span in guard._cuts.spans(text, 1) for i in encode_plainly(guard._tokenizer, span)
        ]
        assert joined == encode_plainly(guard._tokenizer, text)


@pytest.mark.parametrize("model", CHATTING, ids=str)
def test_each_turn_begins_with_the_one_before_and_tokenises_what_is_new(model: RealModel) -> None:
    renderer = renderer_of(model)
    renderer.tokenizer._guard._reference._cache = SpanCache()
    messages = turns(model)
    before: list[int] = []
    num_chars = 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        text = chat_text(renderer.template, prompt_of(model, messages[:number]))
        done = renderer.tokenizer.num_chars_rendered
        ids = renderer.tokenizer.encode_rendered(text, "owner")
        num_new = renderer.tokenizer.num_chars_rendered - done
        assert ids == renderer.tokenizer.encode_rendered(text)
        assert ids[: len(before)] == before
        if before:
            assert num_new < len(text) - num_chars + 700
        told = replace(prompt_of(model, messages[: number + 1]), opens_answer=False)
        answer = chat_text(renderer.template, told)[len(text) :].rstrip().removesuffix("<|im_end|>")
        before = [*ids, *renderer.tokenizer.encode_rendered(answer)]
        num_chars = len(text)


@pytest.mark.parametrize("model", CHATTING, ids=str)
def test_their_templates_are_append_only(model: RealModel) -> None:
    renderer_of(model)
    folder: Path | None = placed(model)
    assert folder is not None
    told = show._append_only(folder)
    assert told is not None
    assert told["is_whole"]
