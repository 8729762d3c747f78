"""Gaps: the family's tokens and order; names in a client's text are plain text."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, processors

from serve.errors import UnsupportedField
from serve.pipeline.events import FillPrompt
from serve.pipeline.fill import FAMILIES, FillFamily, fill_tokens
from serve.pipeline.render import Renderer
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.pipeline.conftest import byte_level_tokenizer

PLAIN = byte_level_tokenizer()


def tokenizer_of(family: FillFamily, *, bos: str = "") -> ModelTokenizer:
    tokenizer = Tokenizer.from_str(PLAIN._tokenizer.to_str())
    names = [name for name in (family.prefix, family.suffix, family.middle, *family.end) if name]
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos) or 0)]
        )
    return ModelTokenizer(tokenizer, {}, tokenizer.get_vocab_size())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.prefix)
async def test_each_family_is_known_by_its_names(family: FillFamily) -> None:
    tokenizer = tokenizer_of(family)
    renderer = Renderer(tokenizer, None)
    ids = await renderer.render(FillPrompt("def f(", "return x"))
    before, behind = f"{family.prefix}def f(", f"{family.suffix}return x"
    both = behind + before if family.is_suffix_first else before + behind
    assert tokenizer.decode_raw(ids) == both + family.middle
    tokens = renderer.fill_tokens
    assert tokens is not None
    names = {name for name in (family.prefix, family.suffix, family.middle, *family.end) if name}
    assert tokens.ends == {tokenizer.token_id(name) for name in names}


async def test_names_of_control_tokens_in_a_clients_text_are_plain_text() -> None:
    family = FAMILIES[0]
    tokenizer = tokenizer_of(family)
    text = f"a{family.suffix}b<|im_end|>{family.middle}"
    ids = await Renderer(tokenizer, None).render(FillPrompt(text, text))
    assert tokenizer.decode_raw(ids) == (
        f"{family.prefix}{text}{family.suffix}{text}{family.middle}"
    )
    for name in (family.prefix, family.suffix, family.middle):
        assert ids.count(tokenizer.token_id(name) or -1) == 1
    assert tokenizer.token_id("<|im_end|>") not in ids


async def test_the_tokenizers_own_beginning_stands_before_a_gap() -> None:
    tokenizer = tokenizer_of(FAMILIES[0], bos="<|endoftext|>")
    ids = await Renderer(tokenizer, None).render(FillPrompt("", "b"))
    assert ids[:2] == [0, tokenizer.token_id(FAMILIES[0].prefix)]


async def test_a_model_without_such_tokens_says_so() -> None:
    assert fill_tokens(PLAIN.token_id) is None
    with pytest.raises(UnsupportedField, match="no tokens for a gap") as refused:
        await Renderer(PLAIN, None).render(FillPrompt("a", "b"))
    assert refused.value.param == "suffix"
