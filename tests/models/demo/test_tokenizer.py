"""The chat template: Qwen's form, equal to the fast renderer, and safe with sparse messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from models.demo import corpus
from models.demo import tokenizer as words
from models.demo.conversation import Conversation
from models.demo.evaluate import WEIGHTS

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


def rendered(tokenizer: Any, messages: list[dict[str, Any]], **options: Any) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))


def test_the_fast_renderer_writes_what_the_template_writes(tokenizer: Any) -> None:
    for each in corpus.shard(0, "main", 400):
        assert rendered(tokenizer, each.messages, tools=each.tools) == words.render(each)


def test_no_system_turn_unless_asked_for(tokenizer: Any) -> None:
    text = rendered(tokenizer, [{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_tools_are_written_in_qwens_form(tokenizer: Any) -> None:
    text = rendered(tokenizer, [{"role": "user", "content": "Hi"}], tools=[TOOL])
    assert text.startswith(
        "<|im_start|>system\n# Tools\n\nYou may call one or more functions to assist with the "
        "user query.\n\nYou are provided with function signatures within <tools></tools> XML "
        "tags:\n<tools>\n" + json.dumps(TOOL) + "\n</tools>\n\nFor each function call, return a "
        "json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        "<|im_end|>\n"
    )


@pytest.mark.parametrize("arguments", ['{"city": "Oslo"}', {"city": "Oslo"}])
@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": ""}])
def test_a_call_without_content_is_rendered_back(
    tokenizer: Any, arguments: Any, content: dict[str, Any]
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "tool_calls": [call, call], **content},
        {"role": "tool", "content": "one", "tool_call_id": "1"},
        {"role": "tool", "content": "two", "tool_call_id": "1"},
    ]
    one = '\n<tool_call>\n{"name": "f", "arguments": {"city": "Oslo"}}\n</tool_call>'
    assert rendered(tokenizer, messages) == (
        f"<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant{one}{one}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n"
        "</tool_response><|im_end|>\n"
    )


def test_text_before_a_call_is_kept(tokenizer: Any) -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "assistant", "content": "Well.", "tool_calls": [call]}]
    assert "assistant\nWell.\n<tool_call>" in rendered(tokenizer, messages)


def test_every_text_survives_the_tokenizer(tokenizer: Any) -> None:
    for text in ("Größe 12,5 €", "你好,世界", "a  b\n\tc", "🙂 <tool_call>", "x" * 300):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_and_spaces_stand_alone(tokenizer: Any) -> None:
    assert tokenizer.tokenize("Paris 2024") == ["Paris", "Ġ", "2", "0", "2", "4"]


def test_the_tool_sentences_are_single_tokens(tokenizer: Any) -> None:
    text = words.render(Conversation("", [{"role": "user", "content": "Q"}], [TOOL]))
    tokens = tokenizer.tokenize(text)
    assert words.TOOLS_BEFORE in tokens
    assert words.TOOLS_AFTER in tokens


def test_special_tokens(tokenizer: Any) -> None:
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert 4096 <= len(tokenizer) <= 8192


def test_special_tokens_have_the_first_ids_and_the_size_is_the_one_asked_for() -> None:
    learned = words.train(["red stone", "blue stone"], 300)
    assert [learned.token_to_id(token) for token in (words.PAD, words.START, words.END)] == [
        0,
        1,
        2,
    ]
    assert learned.get_vocab_size() <= 300
    assert learned.encode(words.TOOLS_BEFORE).ids == [learned.token_to_id(words.TOOLS_BEFORE)]


def test_a_saved_tokenizer_is_whole(tmp_path: Path) -> None:
    words.save(words.train(["red stone"], 300), tmp_path / "new", 77)
    config = json.loads((tmp_path / "new" / "tokenizer_config.json").read_text())
    assert (config["eos_token"], config["model_max_length"]) == (words.END, 77)
    template = (tmp_path / "new" / "chat_template.jinja").read_text(encoding="utf-8")
    assert template == words.TEMPLATE.read_text(encoding="utf-8")
