"""The work of reading an answer follows its length, whatever the text is.

Work is counted, not timed: functions that run, and characters that stand in the window when
something is read of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from serve.pipeline.events import Finished, TextDelta
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.model_dialects.table import HARMONY, HERMES, KIMI, LLAMA_JSON, PYTHONIC
from tests.serve.pipeline.model_dialects.dialects import TAGGED
from tests.serve.pipeline.model_dialects.parsed import TOOLS

WORDS = "some words "
KIMI_OPEN = "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0"
CASES: dict[str, tuple[ModelDialect, str, str, str]] = {
    "content": (HERMES, "", WORDS, ""),
    "content of a bare form": (LLAMA_JSON, "", WORDS, ""),
    "content without frames": (HARMONY, "", WORDS, ""),
    "reasoning": (HERMES, "<think>\n", WORDS, ""),
    "white space": (HERMES, "", " ", ""),
    "arguments": (HERMES, '<tool_call>{"name": "get", "arguments": {"city": "', WORDS, '"}}'),
    "arguments before the name": (
        HERMES,
        '<tool_call>{"arguments": {"city": "',
        WORDS,
        '"}, "name": "get"}',
    ),
    "arguments that are held": (
        LLAMA_JSON,
        'So {"name": "get", "parameters": {"city": "',
        WORDS,
        '"}}',
    ),
    "arguments of a message": (
        HARMONY,
        '<|channel|>commentary to=functions.get<|message|>{"city": "',
        WORDS,
        '"}<|call|>',
    ),
    "arguments behind an id": (
        KIMI,
        f'{KIMI_OPEN}<|tool_call_argument_begin|>{{"city": "',
        WORDS,
        '"}',
    ),
    "a tagged value": (
        TAGGED,
        "<tool_call>\n<function=get>\n<parameter=city>\n",
        WORDS,
        "\n</parameter>\n</function>\n</tool_call>",
    ),
    "a value as in Python": (PYTHONIC, '[get(city="', WORDS, '")]'),
    "JSON that is no call": (LLAMA_JSON, '{"type": ["', WORDS, '"], "answer": 1}'),
    "white space in a call": (HERMES, '<tool_call>{"name": "get", "arguments": {}', "\n", ""),
    "a broken call": (HERMES, '<tool_call>{"name": "get", "arguments": {} ', WORDS, ""),
    "half a tag": (HERMES, "", "<", ""),
    "tags": (HERMES, "", "<tool_call>\n", ""),
    "brackets": (PYTHONIC, "", "[", ""),
    "brackets and names": (PYTHONIC, "", "[get(city=", ""),
    "beginnings": (LLAMA_JSON, "", '{"name": "', ""),
    "beginnings of calls": (LLAMA_JSON, "So ", '{"name": "get", "parameters": {"a": ', ""),
    "tags and beginnings": (HERMES, "", '<tool_call>{"a": [', ""),
    "tags and names": (HERMES, "", '<tool_call>{"name": "', ""),
    "calls inside of calls": (LLAMA_JSON, "So ", '{"name": "get", "x": {', "}"),
    "calls that are not the end": (LLAMA_JSON, "So ", '{"name": "get", "parameters": {}} ', "."),
    "sections": (KIMI, "", KIMI_OPEN, ""),
}


def work(dialect: ModelDialect, text: str, size: int) -> tuple[int, int]:
    """Functions that ran while a text was read in pieces, and characters of the windows."""
    parser = AnswerParser(index=0, dialect=dialect, tools=TOOLS)
    num_calls = num_chars = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal num_calls
        num_calls += event in ("call", "c_call")

    feed: Callable[[list[TextDelta | Finished]], object] = parser.feed
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for at in range(0, len(text), size):
            feed([TextDelta(index=0, text=text[at : at + size])])
            num_chars += len(parser._reader.text)
        feed([Finished(index=0, reason="stop")])
    finally:
        sys.setprofile(before)
    return num_calls, num_chars


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_whole", [False, True], ids=["in pieces", "at once"])
def test_twice_the_text_is_no_more_than_twice_the_work(name: str, is_whole: bool) -> None:
    dialect, before, repeated, behind = CASES[name]
    # Tries of what is no call have a bound of their own, and are read several times until then.
    sizes = [12_000, 24_000]
    works = []
    for size in sizes:
        text = before + repeated * (size // len(repeated)) + behind
        works.append(work(dialect, text, len(text) if is_whole else 4))
    (calls, chars), (more_calls, more_chars) = works
    assert more_calls < 2.3 * calls + 1000
    # A window is short, whatever came before it: the text is not copied with each piece.
    if not is_whole:
        assert more_chars / (sizes[1] / 4) < 2 * chars / (sizes[0] / 4) + 100
        assert more_chars / (sizes[1] / 4) < 4096
