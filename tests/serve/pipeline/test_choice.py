"""Any chunking of the same ids gives the same text, reason, log-probabilities and usage."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.choice import Choice
from serve.pipeline.events import Finished, TextDelta, TokenText
from serve.pipeline.stop import StopStrings
from serve.timeline import FinishReason
from tests.serve.pipeline.conftest import byte_level_tokenizer
from tests.serve.pipeline.test_detokenize import chunked

TOKENIZER = byte_level_tokenizer()
EOS = TOKENIZER._tokenizer.token_to_id("<|im_end|>")


@dataclass
class Outcome:
    text: str
    reason: FinishReason | None
    usage: int
    logprobs: list[int]


def run(ids: list[int], cuts: list[int], stop: list[str], reason: FinishReason) -> Outcome:
    def describe(logprob: TokenLogprob) -> TokenText:
        return TokenText(text=str(logprob.token_id), raw=b"", logprob=0.0)

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
    assert run(ids, [], ["."], "length") == Outcome("x", "stop", len(ids), ids)


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
