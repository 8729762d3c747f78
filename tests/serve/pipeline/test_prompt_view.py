"""A prompt as its answer shows it: any text, any tokenizer, each token at its place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.protocol import SamplingParams, TokenLogprob
from serve.pipeline.events import Generation, Prompt, PromptTokens, TextDelta, TextPrompt, TokenText
from serve.pipeline.events import TokensPrompt as Ids
from serve.pipeline.prompt_view import PromptView, engine_prompt_logprobs
from serve.pipeline.slices import SLICE_LOGPROBS
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.pipeline.conftest import byte_level_tokenizer
from tests.serve.pipeline.test_detokenize import ALL

BYTE_LEVEL = byte_level_tokenizer()
TEXTS = st.text(alphabet="ab .\n🙂é你<|im_end|>", min_size=1, max_size=30)


@dataclass
class Told:
    text: str = ""
    tokens: list[TokenText] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    prompt: list[TokenText] = field(default_factory=list)
    num_events: int = 0


def tell(
    tokenizer: ModelTokenizer,
    prompt: Prompt,
    token_ids: list[int],
    *,
    num_logprobs: int | None = 1,
    num_prompt_logprobs: int | None = None,
    is_cut: bool = False,
    is_first: bool = True,
    **options: object,
) -> Told:
    generation = Generation(
        prompts=(prompt,),
        sampling=SamplingParams(
            max_tokens=1, num_logprobs=num_logprobs, num_prompt_logprobs=num_prompt_logprobs
        ),
        **options,  # type: ignore[arg-type]
    )
    view = PromptView(
        generation=generation,
        tokenizer=tokenizer,
        index=0,
        number=0,
        token_ids=token_ids,
        is_first=is_first,
        is_cut=is_cut,
    )
    asked = engine_prompt_logprobs(generation)
    top = ((9, -1.0), (0, -2.0))[: asked or 0]
    logprobs: list[TokenLogprob | None] = [TokenLogprob(i, -1.0, top, rank=1) for i in token_ids]
    logprobs[0] = None

    async def gather() -> Told:
        told = Told()
        async for event in view.events(None if asked is None else logprobs, asyncio.Lock()):
            told.num_events += 1
            if isinstance(event, TextDelta):
                told.text += event.text
                told.tokens += event.logprobs
            elif isinstance(event, PromptTokens):
                told.ids += event.token_ids
                told.prompt += event.logprobs or ()
        assert view.num_chars == len(told.text)
        return told

    return asyncio.run(gather())


@pytest.mark.parametrize("name", ALL)
@given(text=TEXTS)
def test_an_echo_of_text_is_that_text_and_its_tokens_tile_it(name: str, text: str) -> None:
    tokenizer = ALL[name]
    ids = tokenizer.encode(text, add_special_tokens=True)
    if not ids:
        return
    told = tell(tokenizer, TextPrompt(text), ids, echoes=True)
    assert told.text == text
    assert [token.token_id for token in told.tokens] == ids
    offsets = [token.offset for token in told.tokens]
    assert offsets == sorted(offsets)
    assert offsets[-1] <= len(text)
    assert told.tokens[0].logprob is None
    assert {token.logprob for token in told.tokens[1:]} <= {-1.0}


@given(text=TEXTS)
def test_a_byte_level_token_is_the_text_at_its_place(text: str) -> None:
    ids = BYTE_LEVEL.encode(text, add_special_tokens=True)
    told = tell(BYTE_LEVEL, TextPrompt(text), ids, echoes=True)
    for token in told.tokens:
        if "\ufffd" not in token.text:
            assert text.startswith(token.text, token.offset)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_an_echo_of_ids_is_their_text_special_ones_by_name(name: str, data: st.DataObject) -> None:
    tokenizer = ALL[name]
    size = tokenizer._tokenizer.get_vocab_size()
    ids = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8))
    told = tell(tokenizer, Ids(tuple(ids)), ids, echoes=True)
    assert [token.token_id for token in told.tokens] == ids
    detokenizer = tokenizer.detokenizer(shows_special=True)
    assert told.text == detokenizer.feed(ids) + detokenizer.finish()
    without = tell(tokenizer, Ids(tuple(ids)), ids, echoes=True, num_logprobs=None)
    assert without.text == tokenizer.decode_raw(ids)
    assert not without.tokens
    offsets = [token.offset for token in told.tokens]
    assert offsets == sorted(offsets)


def test_a_prompt_that_was_cut_is_echoed_as_it_counts() -> None:
    text = "Where is the audit log?"
    ids = BYTE_LEVEL.encode(text, add_special_tokens=False)[-3:]
    told = tell(BYTE_LEVEL, TextPrompt(text), ids, echoes=True, is_cut=True)
    assert told.text == BYTE_LEVEL.decode(ids)
    assert text.endswith(told.text)
    assert told.text != text


@pytest.mark.parametrize("size", [255, 256, 257, 512])
def test_no_piece_of_an_echo_is_empty(size: int) -> None:
    told = tell(BYTE_LEVEL, Ids((5,) * size), [5] * size, num_logprobs=0, echoes=True)
    assert len(told.tokens) == size
    assert told.num_events == -(-size // 256)


@pytest.mark.parametrize("num_top", [0, 1, 20])
def test_a_long_prompt_is_told_in_slices(num_top: int) -> None:
    ids = [5] * 3000
    told = tell(
        BYTE_LEVEL,
        Ids(tuple(ids)),
        ids,
        num_logprobs=num_top,
        num_prompt_logprobs=num_top,
        echoes=True,
        wants_token_ids=True,
    )
    assert told.ids == ids
    assert len(told.tokens) == len(ids)
    assert len(told.prompt) == len(ids)
    assert told.num_events >= 2 * 3000 * (1 + num_top) // SLICE_LOGPROBS


def test_each_view_has_as_many_candidates_as_it_asked_for() -> None:
    ids = [5, 6, 7]
    told = tell(BYTE_LEVEL, Ids((5, 6, 7)), ids, num_logprobs=1, num_prompt_logprobs=2, echoes=True)
    assert [len(token.top) for token in told.tokens] == [0, 1, 1]
    assert [len(token.top) for token in told.prompt] == [0, 2, 2]
    assert [token.rank for token in told.prompt] == [None, 1, 1]


def test_one_candidate_tells_of_the_prompt_and_each_echoes_it() -> None:
    options = {"num_prompt_logprobs": 1, "echoes": True, "wants_token_ids": True}
    told = tell(BYTE_LEVEL, TextPrompt("a"), [5], is_first=False, **options)  # type: ignore[arg-type]
    assert (told.text, told.ids) == ("a", [])


def test_who_asks_for_nothing_is_told_nothing() -> None:
    told = tell(BYTE_LEVEL, TextPrompt("a"), [5])
    assert told.num_events == 0


def test_the_engine_is_asked_for_no_more_than_is_told() -> None:
    sampling = SamplingParams(max_tokens=1, num_logprobs=2, num_prompt_logprobs=1)
    plain = Generation(prompts=(TextPrompt("a"),), sampling=sampling)
    assert [engine_prompt_logprobs(plain, sibling) for sibling in (0, 1)] == [1, None]
    echo = replace(plain, echoes=True)
    assert [engine_prompt_logprobs(echo, sibling) for sibling in (0, 1)] == [2, 2]
    none = replace(echo, sampling=replace(sampling, num_logprobs=None))
    assert [engine_prompt_logprobs(none, sibling) for sibling in (0, 1)] == [1, None]
