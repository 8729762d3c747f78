"""Answers of chats as a whole: stop strings, special tokens, reasoning and calls, in any chunks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from serve.engine.fake import FakeEngine
from serve.engine.settings import EngineSettings, FakeSettings
from serve.pipeline.admission import Admission
from serve.pipeline.events import (
    CallableTool,
    ChatPrompt,
    Finished,
    ReasoningUse,
    TextDelta,
    ToolCallDelta,
    ToolUse,
)
from serve.pipeline.generate import Pipeline
from serve.pipeline.model_dialects.bound import bind
from serve.pipeline.model_dialects.table import HERMES
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tokenizer import ModelTokenizer
from serve.timeline import Usage
from tests.serve.pipeline.conftest import byte_level_tokenizer, sentencepiece_tokenizer
from tests.serve.pipeline.test_generate import request_of
from tests.serve.pipeline.test_generate import run as events_of

NAMES = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<e>", "<eos>")
TEMPLATE = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {})
CHAT = ChatPrompt(messages=({"role": "user", "content": "Hi."},))
TOOLS = ToolUse(tools=(CallableTool(name="f"),))
ONE_TOOL = ToolUse(tools=(CallableTool(name="f"),), is_parallel=False)
CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


def with_tokens(tokenizer: ModelTokenizer) -> ModelTokenizer:
    changed = Tokenizer.from_str(tokenizer._tokenizer.to_str())
    changed.add_tokens([AddedToken(name, special=True, normalized=False) for name in NAMES])
    return ModelTokenizer(changed, {}, changed.get_vocab_size())


TOKENIZERS = {
    "byte": with_tokens(byte_level_tokenizer()),
    "window": with_tokens(sentencepiece_tokenizer()),
}


def ids_of(tokenizer: ModelTokenizer, text: str) -> list[int]:
    """A text whose names of tokens are the tokens."""
    return tokenizer._tokenizer.encode(text, add_special_tokens=False).ids


@dataclass
class Seen:
    texts: dict[str, str] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    tokens: list[int | None] = field(default_factory=list)
    reason: str = ""
    usage: Usage = field(default_factory=Usage)


def answered(
    text: str,
    *,
    tokenizer: ModelTokenizer | None = None,
    sizes: tuple[int, ...] = (1,),
    **wishes: Any,
) -> list[Seen]:
    """The choices of a request whose candidates all say a text."""
    tokenizer = tokenizer or TOKENIZERS["byte"]
    eos = tokenizer.special_ids["<eos>"]
    engine = FakeEngine(
        EngineSettings(
            max_model_len=4096,
            max_num_seqs=4,
            fake=FakeSettings(
                vocab_size=tokenizer.vocab_size,
                eos_token_ids=frozenset({eos}),
                script=ids_of(tokenizer, text),
                chunk_sizes=sizes,
            ),
        )
    )
    pipeline = Pipeline(
        engine=engine,
        renderer=Renderer(tokenizer, TEMPLATE),
        admission=Admission(max_running=4, max_waiting=8),
        dialect=bind(HERMES, tokens=tokenizer.added_ids, special=tokenizer.special_ids),
    )
    request = request_of(CHAT, num_logprobs=wishes.pop("num_logprobs", 0), **wishes)
    seen: dict[int, Seen] = {}
    for event in asyncio.run(events_of(pipeline, request)):
        one = seen.setdefault(getattr(event, "index", -1), Seen())
        if isinstance(event, TextDelta):
            one.texts[event.channel] = one.texts.get(event.channel, "") + event.text
            one.tokens += [token.token_id for token in event.logprobs]
        elif isinstance(event, ToolCallDelta):
            if event.name is not None:
                one.calls.append([event.name, ""])
            one.calls[event.call][1] += event.arguments
        elif isinstance(event, Finished):
            assert event.error is None
            one.reason, one.usage = event.reason, event.usage
    return [seen[index] for index in sorted(seen) if index >= 0]


def test_reasoning_content_and_calls_of_special_tokens() -> None:
    text = f"<think>\nHm.\n</think>\n\nWell.\n{CALL}<eos>"
    (seen,) = answered(text, tool_use=TOOLS)
    assert seen.texts["reasoning"] == "Hm."
    assert seen.texts["content"] == "Well."
    assert seen.calls == [["f", '{"a": 1}']]
    assert seen.reason == "tool_calls"
    ids = ids_of(TOKENIZERS["byte"], text)
    assert seen.tokens == ids[:-1]  # of all tokens but the one that ends the answer
    assert seen.usage.completion_tokens == len(ids)
    num_thought = len(ids_of(TOKENIZERS["byte"], "\nHm.\n</think>"))
    assert seen.usage.reasoning_tokens == num_thought


def test_calls_and_reasoning_are_read_though_special_tokens_are_shown() -> None:
    text = f"<think>\nHm.\n</think>\n\nWell.<e>\n{CALL}<eos>"
    (seen,) = answered(text, tool_use=TOOLS, shows_special=True)
    assert seen.texts == {"reasoning": "Hm.", "content": "Well.<e>"}
    assert seen.calls == [["f", '{"a": 1}']]


def test_one_call_ends_the_choice_and_counts_what_was_read() -> None:
    text = f"{CALL}{CALL} and more<eos>"
    for sizes in ((1,), (500,)):
        (seen,) = answered(text, tool_use=ONE_TOOL, sizes=sizes)
        assert (len(seen.calls), seen.reason) == (1, "tool_calls")
        assert seen.usage.completion_tokens == len(ids_of(TOKENIZERS["byte"], CALL))
        assert "content" not in seen.texts or not seen.texts["content"]


def test_a_call_that_max_tokens_cuts() -> None:
    num_tokens = len(ids_of(TOKENIZERS["byte"], CALL.partition("1}")[0]))
    (seen,) = answered(f"{CALL}<eos>", tool_use=TOOLS, max_tokens=num_tokens)
    assert (seen.calls, seen.reason) == ([["f", '{"a": ']], "length")
    assert seen.texts.get("content", "") == ""


def test_reasoning_that_max_tokens_cuts() -> None:
    (seen,) = answered("<think>\nHm hm hm", max_tokens=4)
    assert seen.reason == "length"
    assert "content" not in seen.texts or not seen.texts["content"]
    assert seen.usage.reasoning_tokens == 3


@pytest.mark.parametrize(
    ("stop", "content"),
    [
        ("</think>\n\nWe", None),
        ("Hm", None),
        ("ell.", "W"),
        ("<e>", "Well."),
        ("ell.<e>\n", "W"),
        ("<tool_call>", "Well.\n"),
        ("\n<tool_call>{", "Well."),
        ('"a"', "Well.\n"),
    ],
)
def test_stop_strings_stop_in_front_of_the_parser(stop: str, content: str | None) -> None:
    text = f"<think>\nHm.\n</think>\n\nWell.<e>\n{CALL}<eos>"
    for keeps_stop in (False, True):
        (seen,) = answered(text, tool_use=TOOLS, stop=(stop,), keeps_stop=keeps_stop)
        assert seen.reason == "stop"
        if not keeps_stop and content is not None:
            assert seen.texts["content"].rstrip("\n") == content.rstrip("\n")
        # Tokens are told with the text in which they begin, whatever marks stand around it.
        ids = ids_of(TOKENIZERS["byte"], text)
        assert seen.tokens == ids[: len(seen.tokens)]
        assert len(seen.tokens) <= seen.usage.completion_tokens


def test_a_stop_string_in_arguments_leaves_a_part_and_is_no_call_to_run() -> None:
    (seen,) = answered(f"{CALL}<eos>", tool_use=TOOLS, stop=("1",))
    assert (seen.calls, seen.reason) == ([["f", '{"a": ']], "stop")


def test_hidden_reasoning_is_told_by_nothing() -> None:
    text = "<think>\nHm, so so.\n</think>\n\nWell.<eos>"
    (seen,) = answered(text, reasoning=ReasoningUse(is_shown=False))
    assert seen.texts == {"content": "Well."}
    tokenizer = TOKENIZERS["byte"]
    told = "".join(tokenizer.token_text(i) for i in seen.tokens if i is not None)
    assert "so" not in told
    assert told.endswith("Well.")
    assert seen.usage.reasoning_tokens > 0


def test_several_choices_and_the_best_of_some() -> None:
    each: list[dict[str, Any]] = [{"n": 2}, {"n": 2, "best_of": 3}]
    for wishes in each:
        seen = answered(f"Well.\n{CALL}<eos>", tool_use=TOOLS, **wishes)
        assert [one.calls for one in seen] == [[["f", '{"a": 1}']]] * 2
        assert [one.texts["content"] for one in seen] == ["Well."] * 2
        assert [one.reason for one in seen] == ["tool_calls"] * 2


WORDS = [
    *NAMES[:5],
    "\n",
    "\n\n",
    "a",
    " b.",
    "é",
    "🙂",
    '{"name": "f", "arguments": ',
    "{}",
    "}",
    "f",
]


@pytest.mark.parametrize("name", TOKENIZERS)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=12),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    wishes=st.fixed_dictionaries(
        {
            "stop": st.sampled_from([(), ("b.",), ("<e>",), ("a<e>\n",), ("</think>\n",), ("}<",)]),
            "tool_use": st.sampled_from([None, TOOLS, ONE_TOOL]),
            "keeps_stop": st.booleans(),
            "shows_special": st.booleans(),
            "max_tokens": st.sampled_from([1, 5, 300]),
        }
    ),
)
def test_the_engines_chunks_do_not_matter(
    name: str, words: list[str], sizes: tuple[int, ...], wishes: dict[str, Any]
) -> None:
    tokenizer = TOKENIZERS[name]
    text = "".join(words) + "<eos>"
    (whole,) = answered(text, tokenizer=tokenizer, **wishes)
    assert answered(text, tokenizer=tokenizer, sizes=sizes, **wishes) == [whole]
    ids = ids_of(tokenizer, text)
    assert whole.tokens == ids[: len(whole.tokens)]
    assert whole.usage.completion_tokens <= min(len(ids), wishes["max_tokens"])
    said = "".join(whole.texts.values()) + "".join(part for call in whole.calls for part in call)
    said.encode()
