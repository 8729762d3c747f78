"""All that a prompt says, and by which field it came."""

from __future__ import annotations

from serve.engine.protocol import SamplingParams
from serve.governance.filtering.prompt_texts import PromptText, has_tokens, texts_of
from serve.pipeline.events import (
    ChatPrompt,
    FillPrompt,
    Generation,
    Prompt,
    TextPrompt,
    TokensPrompt,
)


def generation(*prompts: Prompt) -> Generation:
    return Generation(prompts=prompts, sampling=SamplingParams(max_tokens=1))


def test_a_chat() -> None:
    prompt = ChatPrompt(
        messages=(
            {"role": "user", "content": "hello", "name": "Ann"},
            {"role": "user", "content": [{"type": "text", "text": "pi"}, {"text": "pe", "x": "y"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "say"}}]},
        ),
        tools=({"name": "tell"},),
        options={"documents": ["one"]},
    )
    found = texts_of(generation(prompt))
    assert {
        PromptText("messages[0].content", "hello"),
        PromptText("messages[0].name", "Ann"),
        PromptText("messages[1].content", "pipe"),
        PromptText("messages[1].content", "y"),
        PromptText("messages[2].tool_calls", "say"),
        PromptText("tools[0]", "tell"),
        PromptText("chat_template_kwargs", "one"),
    } <= set(found)
    assert "user" not in {text.text for text in found}


def test_arguments_are_read_as_written_and_as_parsed() -> None:
    call = {"function": {"name": "f", "arguments": r'{"a": "\u0062ad"}'}}
    found = texts_of(generation(ChatPrompt(messages=({"tool_calls": [call]},))))
    arguments = call["function"]["arguments"]
    assert [text for text in found if text.text == arguments] == [
        PromptText("messages[0].tool_calls", arguments),
        PromptText("messages[0].tool_calls", arguments, has_escapes=True),
    ]


def test_texts_to_continue() -> None:
    prompts = generation(TextPrompt("a"), FillPrompt("b", "c"))
    assert [(text.param, text.text) for text in texts_of(prompts)] == [
        ("prompt", "a"),
        ("prompt", "b"),
        ("suffix", "c"),
    ]


def test_token_ids_are_no_text() -> None:
    assert has_tokens(generation(TokensPrompt((1, 2))))
    assert not has_tokens(generation(TextPrompt("a")))
    assert texts_of(generation(TokensPrompt((1, 2)))) == []
