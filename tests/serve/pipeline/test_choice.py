"""Any chunking of the same ids gives the same text, reason, log-probabilities and usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.choice import Choice
from serve.pipeline.events import Finished, TextDelta, TokenText
from serve.pipeline.stop import StopStrings, stop_patterns
from serve.pipeline.tokenizer import ModelTokenizer
from serve.timeline import FinishReason
from tests.serve.pipeline.conftest import byte_level_tokenizer
from tests.serve.pipeline.test_detokenize import ALL, chunked

TOKENIZER = byte_level_tokenizer()
END = "<|im_end|>"
EOS = TOKENIZER._tokenizer.token_to_id(END)


@dataclass
class Outcome:
    text: str
    reason: FinishReason | None
    usage: int
    logprobs: list[int]


def run(ids: list[int], cuts: list[int], stop: list[str], reason: FinishReason) -> Outcome:
    def describe(logprob: TokenLogprob) -> TokenText:
        raw = TOKENIZER.token_bytes(logprob.token_id)
        return TokenText(text=str(logprob.token_id), raw=raw, logprob=0.0)

    choice = Choice(
        index=0,
        detokenizer=TOKENIZER.detokenizer(),
        stages=[StopStrings(stop)] if stop else [],
        describe=describe,
    )
    outcome = Outcome("", None, 0, [])
    chunks = chunked(ids, cuts)
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        events = choice.feed(
            TokenChunk(
                token_ids=chunk,
                logprobs=[TokenLogprob(i, 0.0) for i in chunk],
                finish_reason=reason if is_last else None,
            )
        )
        for event in events:
            if isinstance(event, TextDelta):
                outcome.text += event.text
                outcome.logprobs += [int(token.text) for token in event.logprobs]
            elif isinstance(event, Finished):
                outcome.reason, outcome.usage = event.reason, event.usage.completion_tokens
        if outcome.reason is not None:
            break
    return outcome


@given(
    text=st.text(alphabet="ab .🙂", min_size=1, max_size=30),
    stop=st.lists(st.text(alphabet="ab .", min_size=1, max_size=3), max_size=2),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    reason=st.sampled_from(["stop", "length"]),
)
def test_chunking_does_not_matter(
    text: str, stop: list[str], cuts: list[int], reason: FinishReason
) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    if reason == "stop":
        ids.append(EOS)
    one_by_one = run(ids, list(range(len(ids) + 1)), stop, reason)
    assert run(ids, cuts, stop, reason) == one_by_one
    assert one_by_one.reason in {"stop", "length"}
    assert all(s not in one_by_one.text for s in stop)


def test_usage_counts_tokens_consumed_not_received() -> None:
    ids = TOKENIZER.encode("a", add_special_tokens=False) * 2
    assert run(ids, [], ["a"], "length").usage == 1


def test_the_stop_token_is_counted_and_is_no_text() -> None:
    ids = [*TOKENIZER.encode("log", add_special_tokens=False), EOS]
    outcome = run(ids, [], [], "stop")
    assert (outcome.text, outcome.reason, outcome.usage) == ("log", "stop", len(ids))
    assert EOS not in outcome.logprobs


def test_a_stop_string_in_the_held_back_tail_still_counts() -> None:
    """At the end of the stream the detokenizer's tail is text like any other."""
    ids = TOKENIZER.encode("x.", add_special_tokens=False)
    assert run(ids, [], ["."], "length") == Outcome("x", "stop", len(ids), ids[:1])


def test_a_chunk_is_one_event_whatever_stages_look_at_its_tokens() -> None:
    """A reader that lags gets many tokens at once: they are one piece of text, not many."""
    ids = TOKENIZER.encode("The audit log is here", add_special_tokens=False)
    choice = Choice(
        index=0,
        detokenizer=TOKENIZER.detokenizer(),
        stages=[StopStrings(["###"])],
        describe=lambda logprob: TokenText(text=str(logprob.token_id), raw=b"", logprob=0.0),
    )
    logprobs = [TokenLogprob(i, 0.0) for i in ids]
    (event,) = choice.feed(TokenChunk(token_ids=ids, logprobs=logprobs))
    assert isinstance(event, TextDelta)
    assert event.text == "The audit log is here"
    assert len(event.logprobs) == len(ids)


@dataclass
class Told:
    """All that a client is told of one choice, and with which piece of text each token came."""

    text: str = ""
    tokens: list[TokenText] = field(default_factory=list)
    num_chars: list[int] = field(
        default_factory=list
    )  # sent when a token comes, its piece included
    reason: FinishReason | None = None
    usage: int = 0


def tell(  # noqa: PLR0917
    tokenizer: ModelTokenizer,
    ids: list[int],
    cuts: list[int],
    stop: Sequence[str] = (),
    reason: FinishReason = "length",
    prompt: Sequence[int] = (),
) -> Told:
    def describe(logprob: TokenLogprob) -> TokenText:
        token_id = logprob.token_id
        return TokenText(
            text=tokenizer.token_text(token_id),
            raw=tokenizer.token_bytes(token_id),
            logprob=0.0,
            token_id=token_id,
        )

    stops = stop_patterns(stop, tokenizer.special_ids)
    choice = Choice(
        index=0,
        detokenizer=tokenizer.detokenizer(prompt),
        stages=[StopStrings(stops.strings, stops.marks)] if stop else [],
        describe=describe,
        marks=stops.marks,
    )
    told = Told()
    chunks = chunked(ids, cuts)
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        for event in choice.feed(
            TokenChunk(
                token_ids=chunk,
                logprobs=[TokenLogprob(token_id, 0.0) for token_id in chunk],
                finish_reason=reason if is_last else None,
            )
        ):
            if isinstance(event, TextDelta):
                told.text += event.text
                told.tokens += event.logprobs
                told.num_chars += [len(told.text)] * len(event.logprobs)
            elif isinstance(event, Finished):
                told.reason, told.usage = event.reason, event.usage.completion_tokens
        if told.reason is not None:
            break
    return told


@pytest.mark.parametrize("tokenizer", ALL.values(), ids=ALL)
@given(
    text=st.text(alphabet="ab the.log你🙂é", min_size=1, max_size=24),
    special=st.lists(st.integers(0, 30), max_size=2),
    stop=st.lists(st.sampled_from(["a", "b t", "SPECIAL", "aSPECIAL", "🙂"]), max_size=2),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    at=st.integers(0, 10),
)
def test_tokens_come_with_their_text_whatever_the_chunks(  # noqa: PLR0917
    tokenizer: ModelTokenizer,
    text: str,
    special: list[int],
    stop: list[str],
    cuts: list[int],
    at: int,
) -> None:
    name, special_id = next(iter(tokenizer.special_ids.items()))
    stop = [string.replace("SPECIAL", name) for string in stop]
    ids = tokenizer.encode(text, add_special_tokens=False)
    at %= len(ids) + 1  # a WordPiece text of spaces alone has no tokens
    prompt, ids = ids[:at], [*ids[at:], special_id]
    for place in special:
        ids.insert(place % (len(ids) + 1), special_id)
    each = list(range(len(ids) + 1))
    one_by_one, in_chunks = (tell(tokenizer, ids, way, stop, prompt=prompt) for way in (each, cuts))
    in_chunks.num_chars = one_by_one.num_chars
    assert in_chunks == one_by_one
    told, tokens = one_by_one, one_by_one.tokens
    assert [token.token_id for token in tokens] == ids[: len(tokens)]
    offsets = [token.offset for token in tokens]
    assert offsets == sorted(offsets)
    for token, num_chars in zip(tokens, told.num_chars, strict=True):
        assert token.offset <= num_chars, "a token before its text"
        if token.raw and told.reason == "length":
            first = told.text[token.offset].encode()
            assert first.startswith(token.raw[:1]) or token.raw[0] in first[1:]
    if told.reason == "length":
        assert len(tokens) == told.usage == len(ids)
        joined = b"".join(token.raw for token in tokens).decode("utf-8", "replace")
        assert joined.lstrip("\N{REPLACEMENT CHARACTER}").endswith(told.text[1:])
    else:
        assert all(token.offset < len(told.text) + (not token.raw) for token in tokens)
        assert not any(s in told.text for s in stop)


def test_a_part_of_a_character_comes_with_the_whole_of_it() -> None:
    ids = TOKENIZER.encode("a🦙b", add_special_tokens=False)
    told = tell(TOKENIZER, ids, list(range(len(ids) + 1)))
    assert (told.text, [token.offset for token in told.tokens]) == ("a🦙b", [0, 1, 1, 1, 2])
    assert told.num_chars == [1, 2, 2, 2, 3]
    assert b"".join(token.raw for token in told.tokens) == "a🦙b".encode()


def test_a_token_behind_a_broken_character_begins_behind_it() -> None:
    llama = TOKENIZER.encode("🦙", add_special_tokens=False)
    (letter,) = TOKENIZER.encode("b", add_special_tokens=False)
    told = tell(TOKENIZER, [*llama[:2], letter], [1, 2])
    assert (told.text, [token.offset for token in told.tokens]) == ("\ufffdb", [0, 0, 1])
    told = tell(TOKENIZER, [letter, *llama[:2]], [1, 2])
    assert (told.text, [token.offset for token in told.tokens]) == ("b\ufffd", [0, 1, 1])


def test_the_space_that_an_answer_does_not_begin_with_is_no_byte_of_its_first_token() -> None:
    tokenizer = ALL["SentencePiece"]
    ids = tokenizer.encode("the log", add_special_tokens=False)
    alone = tell(tokenizer, ids, [])
    assert b"".join(token.raw for token in alone.tokens) == b"the log" == alone.text.encode()
    continued = tell(tokenizer, ids, [], prompt=ids)
    assert b"".join(token.raw for token in continued.tokens) == b" the log"
    assert (continued.text, continued.tokens[0].text[0]) == (" the log", " ")


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize(
    ("stop", "text"),
    [([END], "foo"), ([f"foo{END}"], ""), ([f"oo{END}"], "f"), ([f"{END}\n"], "foo")],
)
def test_a_special_token_stops_whether_or_not_it_ends_the_sequence(
    reason: FinishReason, stop: list[str], text: str
) -> None:
    ids = [*TOKENIZER.encode("foo", add_special_tokens=False), EOS]
    told = tell(TOKENIZER, ids, list(range(len(ids) + 1)), stop, reason)
    is_met = reason == "stop" or not stop[0].endswith("\n")
    assert (told.text, told.usage) == (text, len(ids))
    assert told.reason == ("stop" if is_met else "length")
    assert EOS not in [token.token_id for token in told.tokens] or not is_met


def test_a_mark_never_leaves_the_choice() -> None:
    ids = [EOS, *TOKENIZER.encode("foo", add_special_tokens=False)]
    told = tell(TOKENIZER, ids, [], [f"{END}bar"])
    assert (told.text, told.reason) == ("foo", "length")
    assert [token.token_id for token in told.tokens] == ids
