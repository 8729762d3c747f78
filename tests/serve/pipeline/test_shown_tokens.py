"""Whatever the chunks: the same text, ids and offsets with an echo, kept stops, special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.choice import Choice
from serve.pipeline.events import Finished, TextDelta, TokenIds, TokenText
from serve.pipeline.stop import StopStrings, stop_patterns
from serve.pipeline.token_texts import TokenTexts
from serve.pipeline.tokenizer import ModelTokenizer
from serve.timeline import FinishReason
from tests.serve.pipeline.test_detokenize import ALL, chunked

ECHO = 7
"""Characters of an echo before the choice's own text."""


@dataclass
class Told:
    text: str = ""
    tokens: list[TokenText] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    reason: FinishReason | None = None
    usage: int = 0


def tell(
    tokenizer: ModelTokenizer,
    ids: list[int],
    cuts: list[int],
    *,
    stop: Sequence[str] = (),
    reason: FinishReason = "length",
    keeps: bool = False,
    shows: bool = False,
    lists_end: bool = False,
) -> Told:
    stops = stop_patterns(stop, {} if shows else tokenizer.special_ids)
    choice = Choice(
        index=0,
        detokenizer=tokenizer.detokenizer(shows_special=shows),
        stages=(
            [StopStrings(stops.strings, stops.marks, names=stops.names, keeps_stop=keeps)]
            if stop
            else []
        ),
        describe=TokenTexts(tokenizer).of,
        marks=stops.marks,
        keeps_end=keeps,
        lists_end=lists_end,
        tells_ids=True,
    )
    choice.num_chars_before = ECHO
    told = Told()
    chunks = chunked(ids, cuts)
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        logprobs = [TokenLogprob(token_id, -1.0) for token_id in chunk]
        ending = reason if is_last else None
        events = choice.feed(TokenChunk(token_ids=chunk, logprobs=logprobs, finish_reason=ending))
        assert isinstance(events[0], TokenIds)
        for event in events:
            if isinstance(event, TokenIds):
                told.ids += event.token_ids
            elif isinstance(event, TextDelta):
                told.text += event.text
                told.tokens += event.logprobs
            elif isinstance(event, Finished):
                told.reason, told.usage = event.reason, event.usage.completion_tokens
        if told.reason is not None:
            break
    return told


@pytest.mark.parametrize("name", ALL)
@given(
    text=st.text(alphabet="ab the.log你🙂é", min_size=1, max_size=24),
    special=st.lists(st.integers(0, 30), max_size=2),
    stop=st.lists(st.sampled_from(["a", "b t", "SPECIAL", "aSPECIAL", "🙂"]), max_size=2),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    reason=st.sampled_from(["stop", "length"]),
    options=st.fixed_dictionaries(
        {"keeps": st.booleans(), "shows": st.booleans(), "lists_end": st.booleans()}
    ),
)
def test_chunks_do_not_matter(  # noqa: PLR0917
    name: str,
    text: str,
    special: list[int],
    stop: list[str],
    cuts: list[int],
    reason: FinishReason,
    options: dict[str, bool],
) -> None:
    tokenizer = ALL[name]
    special_name, special_id = next(iter(tokenizer.special_ids.items()))
    stop = [string.replace("SPECIAL", special_name) for string in stop]
    ids = [*tokenizer.encode(text, add_special_tokens=False), special_id]
    for place in special:
        ids.insert(place % len(ids), special_id)
    each = list(range(len(ids) + 1))
    told, chunked_ = (
        tell(tokenizer, ids, way, stop=stop, reason=reason, **options) for way in (each, cuts)
    )
    assert chunked_ == told
    assert told.ids == ids[: told.usage]
    assert [token.token_id for token in told.tokens] == ids[: len(told.tokens)]
    offsets = [token.offset for token in told.tokens]
    assert offsets == sorted(offsets)
    assert all(ECHO <= offset <= ECHO + len(told.text) for offset in offsets)
    assert not any(0xD800 <= ord(char) < 0xE000 for char in told.text), "a mark"
    if options["keeps"] and told.usage < len(ids):
        assert any(told.text.endswith(string) for string in stop)
    if options["lists_end"] and not stop:
        assert len(told.tokens) == told.usage
    if options["shows"] and not stop and (options["keeps"] or reason == "length"):
        detokenizer = tokenizer.detokenizer(shows_special=True)
        assert told.text == detokenizer.feed(ids) + detokenizer.finish()


BYTE_LEVEL = ALL["byte-level"]
END, EOS = "<|im_end|>", BYTE_LEVEL.special_ids["<|im_end|>"]
FOO = BYTE_LEVEL.encode("foo", add_special_tokens=False)


@pytest.mark.parametrize(
    ("options", "stop", "reason", "text"),
    [
        ({}, (), "stop", "foo"),
        ({"shows": True}, (), "stop", "foo"),
        ({"keeps": True}, (), "stop", "foo"),
        ({"keeps": True, "shows": True}, (), "stop", f"foo{END}"),
        ({"shows": True}, (), "length", f"foo{END}"),
        ({"keeps": True}, ("oo",), "stop", "foo"),
        ({"keeps": True}, (f"oo{END}",), "length", f"foo{END}"),
        ({"shows": True}, (f"oo{END}",), "length", "f"),
        ({"keeps": True, "shows": True}, ("<|im",), "length", "foo<|im"),
    ],
)
def test_what_ends_an_answer_is_text_where_it_was_asked_for(
    options: dict[str, bool], stop: tuple[str, ...], reason: FinishReason, text: str
) -> None:
    assert tell(BYTE_LEVEL, [*FOO, EOS], [], stop=stop, reason=reason, **options).text == text


def test_the_end_token_is_listed_behind_the_text() -> None:
    """So that whoever takes the prompt's tokens off one end and the answer's off the other is right
    about what is left (lm-eval does so).
    """
    told = tell(BYTE_LEVEL, [*FOO, EOS], [], reason="stop", lists_end=True)
    last = told.tokens[-1]
    assert (last.token_id, last.offset, last.text) == (EOS, ECHO + 3, END)
    assert told.text == "foo"


@pytest.mark.parametrize("name", ALL)
def test_special_tokens_are_shown_by_their_names(name: str) -> None:
    tokenizer = ALL[name]
    special, special_id = list(tokenizer.special_ids.items())[-1]
    ids = [special_id, *tokenizer.encode("the log", add_special_tokens=False), special_id]
    told = tell(tokenizer, ids, [], shows=True)
    assert told.text.replace(" ", "") == f"{special}thelog{special}"
    if name != "WordPiece":  # whose own decoder has a space before each
        assert told.text == tokenizer.decode_raw(ids)
        assert "".join(token.raw.decode() for token in told.tokens) == told.text
