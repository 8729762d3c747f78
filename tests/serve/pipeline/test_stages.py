"""One property for every stage and every chain of them: the engine's chunks do not matter.

Any chunking of the same tokens gives the same events, reason and usage, and nothing is lost or
invented. A stage that is added to the product is added to ``STAGES``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.governance.around import Around
from serve.governance.filtering.edges import Edges
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.stage import FilterStage
from serve.governance.masking import rules as masking_rules
from serve.governance.masking.custom import CustomDetector, compiled
from serve.governance.masking.edges import NO_EDGES, ContinuedStream, edges_of
from serve.governance.masking.lanes import Lane, Rewritten
from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.replacing import Replacing, scanner_of
from serve.governance.masking.restoring import RestoredStream
from serve.governance.presets.shaping import Cut, StripFence, StripWhitespace
from serve.governance.presets.shaping_stage import ContentStage
from serve.pipeline.choice import Choice
from serve.pipeline.events import (
    ChoiceEvent,
    Finished,
    TextDelta,
    TokenText,
    ToolCallDelta,
)
from serve.pipeline.model_dialects.dialect import (
    CallSyntax,
    ModelDialect,
    NamedCall,
    ReasoningSyntax,
)
from serve.pipeline.model_dialects.parsing import AnswerParser
from serve.pipeline.stages import Stage
from serve.pipeline.stop import StopStrings
from serve.pipeline.tokenizer import ModelTokenizer
from serve.timeline import FinishReason
from tests.serve.pipeline.conftest import byte_level_tokenizer, sentencepiece_tokenizer
from tests.serve.pipeline.test_detokenize import chunked

TOKENIZERS = (byte_level_tokenizer(), sentencepiece_tokenizer())


@dataclass
class Tagged:
    """A stage as reasoning will need one: text between ``<`` and ``>`` goes to another channel."""

    inside: bool = False

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        passed: list[ChoiceEvent] = []
        for event in events:
            if not isinstance(event, TextDelta):
                passed.append(event)
                continue
            pieces: list[TextDelta] = []
            for letter in event.text:
                if letter in "<>":
                    self.inside = letter == "<"
                    continue
                channel = "reasoning" if self.inside else "content"
                pieces.append(TextDelta(index=event.index, text=letter, channel=channel))
            if event.logprobs:
                pieces.insert(0, replace(event, text=""))
            passed += pieces
        return passed


@dataclass
class Masked:
    """A stage as masking will need one: ``aab`` becomes ``***``, and is held back while it may."""

    held: str = ""

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        passed: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta) and event.channel == "content":
                text = (self.held + event.text).replace("aab", "***")
                keep = next((k for k in (2, 1) if "aab".startswith(text[-k:] or "?")), 0)
                self.held = text[len(text) - keep :]
                text = text[: len(text) - keep]
                if text or event.logprobs:
                    passed.append(replace(event, text=text))
                continue
            if isinstance(event, Finished) and self.held:
                passed.append(TextDelta(index=event.index, text=self.held))
            passed.append(event)
        return passed


@dataclass
class Called:
    """A stage as tools will need one: a choice whose text has ``!`` ends in a tool call."""

    has_called: bool = False

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        passed: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta):
                self.has_called = self.has_called or "!" in event.text
            elif isinstance(event, Finished) and self.has_called and event.reason == "stop":
                passed.append(ToolCallDelta(index=event.index, call=0, name="shout"))
                passed.append(replace(event, reason="tool_calls"))
                continue
            passed.append(event)
        return passed


STOPS = ["ab.", "🙂🙂"]
LITTLE = ModelDialect(
    name="little",
    source="table",
    reasoning=ReasoningSyntax(open="<", close=">"),
    calls=CallSyntax(open="!!", body=NamedCall(name_end=".")),
)
"""Reasoning in brackets, and calls such as ``!!ab.{}``, in the letters of these tests."""


def answer_parser() -> AnswerParser:
    numbers = count()
    return AnswerParser(
        index=3, dialect=LITTLE, tools={"ab": None}, new_id=lambda: f"call_{next(numbers)}"
    )


FILTER = Matcher(
    [
        Rule(name="word", version="1", category="own", words=("bé", "a🙂")),
        Rule(name="pattern", version="1", category="own", patterns=("!{2}a",)),
    ]
)
ENDING = {"a content filter", "a cut"}
"""Stages that may end a choice before its tokens do, or take text and tokens off it."""


def content_filter() -> FilterStage:
    edges = Edges("!b", after="🙂!")
    return FilterStage(3, FILTER, edges=edges, on_hit=lambda _rule: None, on_failure=lambda: None)


SHORT = CustomDetector(name="short", label="AB", regexp=compiled(r"a.?b|é{1,3}"), max_chars=3)
MASKING = masking_rules.RuleSet(
    rules=(masking_rules.Rule(name="short", action="pseudonymise", detectors=(SHORT,)),)
)


def masking() -> Rewritten:
    replacing = Replacing(MASKING, Pseudonyms(), lambda _rule: None)
    scanner = scanner_of(MASKING, of_answers=True)
    edges = edges_of(Around("! a", "b"), scanner)

    def stream(lane: Lane) -> ContinuedStream:
        is_call = isinstance(lane, int)
        return ContinuedStream(scanner, replacing, NO_EDGES if is_call else edges, is_json=is_call)

    return Rewritten(stream)


def restoring() -> Rewritten:
    known = Pseudonyms()
    known.of("AB", "ab", "xyz")
    return Rewritten(lambda lane: RestoredStream(known, is_json=isinstance(lane, int)))


STAGES: dict[str, Callable[[], Stage]] = {
    "an answer's parser": answer_parser,
    "stop strings": lambda: StopStrings(STOPS),
    "a channel": Tagged,
    "a mask": Masked,
    "a tool": Called,
    "a content filter": content_filter,
    "a cut": lambda: ContentStage(3, Cut(12, "word")),
    "white space": lambda: ContentStage(3, StripWhitespace()),
    "a fence": lambda: ContentStage(3, StripFence()),
    "masking": masking,
    "restoring": restoring,
}
SHAPES = {"a cut", "a fence", "white space"}
"""Run in one chain alone: each is held to it by itself in tests/serve/governance/presets."""
CHAINS = [
    *([name] for name in STAGES if name not in SHAPES),
    ["stop strings", "a channel", "a mask", "a tool"],
    ["stop strings", "an answer's parser", "a mask"],
    ["stop strings", "an answer's parser", "a fence", "white space", "a cut", "a content filter"],
    ["stop strings", "an answer's parser", "masking", "restoring"],
    [],
]


@dataclass
class Seen:
    """What a reader sees of one choice, whatever the pieces in which it came."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    calls: list[ToolCallDelta] = field(default_factory=list)
    arguments: dict[int, str] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    end: Finished | None = None

    def add(self, event: ChoiceEvent) -> None:
        assert self.end is None, "nothing comes after the end"
        if isinstance(event, Finished):
            self.end = event
        elif isinstance(event, ToolCallDelta):
            told = self.arguments.get(event.call, "") + event.arguments
            self.arguments[event.call] = told
            if event.name is not None:
                self.calls.append(replace(event, arguments=""))
        elif isinstance(event, TextDelta):
            assert event.text or event.logprobs, "an event that says nothing"
            self.tokens += [str(token.token_id) for token in event.logprobs]
            if not event.text:
                return
            if self.texts and self.texts[-1][0] == event.channel:
                self.texts[-1] = (event.channel, self.texts[-1][1] + event.text)
            else:
                self.texts.append((event.channel, event.text))

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.texts)


def run(
    tokenizer: ModelTokenizer,
    ids: list[int],
    cuts: list[int],
    chain: list[str],
    reason: FinishReason,
) -> Seen:
    def describe(logprob: TokenLogprob) -> TokenText:
        raw = tokenizer.token_bytes(logprob.token_id)
        return TokenText(text="", raw=raw, logprob=0.0, token_id=logprob.token_id)

    choice = Choice(
        index=3,
        detokenizer=tokenizer.detokenizer(),
        stages=[STAGES[name]() for name in chain],
        describe=describe,
        prompt_tokens=5,
    )
    seen = Seen()
    chunks = chunked(ids, cuts)
    for number, chunk in enumerate(chunks):
        events = choice.feed(
            TokenChunk(
                token_ids=chunk,
                logprobs=[TokenLogprob(i, 0.0) for i in chunk],
                finish_reason=reason if number == len(chunks) - 1 else None,
            )
        )
        for event in events:
            seen.add(event)
        if seen.end is not None:
            break
    return seen


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "window"])
@pytest.mark.parametrize("chain", CHAINS, ids=" + ".join)
@given(
    text=st.lists(st.sampled_from([*"ab.<>!{} 🙂é", "!!ab.{}", "!!"]), min_size=1, max_size=24).map(
        "".join
    ),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    reason=st.sampled_from(["stop", "length"]),
)
def test_the_engines_chunks_do_not_matter(
    tokenizer: ModelTokenizer, chain: list[str], text: str, cuts: list[int], reason: FinishReason
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    if reason == "stop":
        ids.append(0)  # whatever it is, it is counted and is no text
    one_by_one = run(tokenizer, ids, list(range(len(ids) + 1)), chain, reason)
    assert run(tokenizer, ids, cuts, chain, reason) == one_by_one
    assert one_by_one.end is not None
    usage = one_by_one.end.usage
    assert usage.prompt_tokens == 5
    assert 1 <= usage.completion_tokens <= len(ids)
    # A log-probability for each token that is text and was consumed, in their order; of those that
    # a stop string ends only for such as begin in the text that is left.
    num_text = min(usage.completion_tokens, len(ids) - (reason == "stop"))
    if "stop strings" in chain and any(stop in tokenizer.decode(ids) for stop in STOPS):
        left = re.split("|".join(map(re.escape, STOPS)), tokenizer.decode(ids))[0].encode()
        raws = [tokenizer.token_bytes(token_id) for token_id in ids[:num_text]]
        num_stripped = len(b"".join(raws)) - len(tokenizer.decode(ids[:num_text]).encode())
        raws[0] = raws[0][num_stripped:]  # the space that a text does not begin with
        starts = accumulate(map(len, raws), initial=0)
        has_begun = [at < len(left) + (not raw) for at, raw in zip(starts, raws, strict=False)]
        num_text = has_begun.index(False) if False in has_begun else num_text
    told = [str(token_id) for token_id in ids[:num_text]]
    assert one_by_one.tokens == (told[: len(one_by_one.tokens)] if ENDING & set(chain) else told)
    assert one_by_one.end.index == 3


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["byte", "window"])
@given(text=st.text(alphabet="ab .!🙂é", min_size=1, max_size=24))
def test_nothing_is_lost_or_invented(tokenizer: ModelTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    decoded = tokenizer.decode(ids)
    for chain in ([], ["a channel"], ["a tool"], ["a channel", "a tool"]):
        assert run(tokenizer, ids, [], chain, "length").text == decoded
    masked = run(tokenizer, ids, [], ["a mask"], "length").text
    assert masked == decoded.replace("aab", "***")


def test_a_stage_may_change_the_reason_and_say_more_before_the_end() -> None:
    ids = [*TOKENIZERS[0].encode("Hey!", add_special_tokens=False), 0]
    seen = run(TOKENIZERS[0], ids, [], ["a tool"], "stop")
    assert seen.end is not None
    assert (seen.end.reason, len(seen.calls)) == ("tool_calls", 1)
