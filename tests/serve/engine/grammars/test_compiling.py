"""Compiled grammars: kept, bounded, refused in our own words; hostile ones do no harm."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from serve.engine.grammars import bounds, compiling, wording
from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.serialised import serialised
from serve.engine.grammars.worker import TooSlowError
from serve.errors import InvalidRequest
from tests.serve.engine.grammars.hostile import REFUSED, TAKEN, lark, regex, schema

INSIDES = re.compile(r"<state>|Parser|lexeme|NoExtension|fuel|Unimplemented|SearchRegex|grm_prefix")


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_grammars_are_refused(compiler: GrammarCompiler, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        compiler.compile(REFUSED[name], param="response_format")
    assert refused.value.param == "response_format"
    assert not INSIDES.search(refused.value.message)
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_gives_masks_or_ends_with_a_reason(
    compiler: GrammarCompiler, name: str
) -> None:
    matcher = compiler.compile(TAKEN[name])
    memory = bytearray(compiler.mask_bytes)
    for _ in range(30):
        try:
            token_id = _last_allowed(matcher, memory)
            matcher.accept(token_id)
        except InvalidRequest as error:
            assert "takes too much work" in error.message  # noqa: PT017
            return
        if matcher.is_complete:
            return


def _last_allowed(matcher: Any, memory: bytearray) -> int:
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    matcher.fill(address, len(memory))
    return int.from_bytes(memory, "little").bit_length() - 1


WORDS = [
    (schema({"properties": {"a": {"not": {}}}}), r"at /properties/a has not, which"),
    (schema({"items": {"uniqueItems": True}}), r"at /items has uniqueItems, which"),
    (schema({"properties": {"a/b": {"if": {}, "then": {}}}}), r"at /properties/a~1b has if, then"),
    (schema({"type": "strin"}), r"Invalid type: strin"),
    (schema({"oneOf": [{"type": "object"}, {"type": "object"}]}), r"has a oneOf .* Write anyOf"),
    (schema("["), r"The schema is not JSON"),
    (schema("3"), r"neither an object nor true or false"),
    (schema({"type": "integer", "minimum": 2, "maximum": 1}), r"minimum \(2\) is greater"),
    (schema({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}), r"no integer lies"),
    (schema({"type": "string", "format": "date", "maxLength": 1}), r"no text has a pattern, or a"),
    (schema('{"minimum": 1e999}'), r"a number that is too large"),
    (schema({"minimum": 10**400}), r"a number that is too large"),
    (schema({"$schema": "http://x.invalid/"}), r"\$schema names no draft"),
    (schema({"$ref": "#/$defs/a"}), r"\$ref to what the schema does not hold"),
    (regex("(a"), r"regular expression cannot be used: unclosed group"),
    (regex(r"\ba"), r"look-around"),
    (lark("start: ("), r"wrong at line 1, column 9"),
    (lark("start: other\nother: /(/"), r"wrong at line 2, column 8: invalid regular expression"),
    (lark("start: @x"), r"unknown grammar @x"),
    (lark('root ::= ("a"'), r"GBNF"),
    (Grammar(kind="structural", text="[]"), r"no object"),
]


@pytest.mark.parametrize(("grammar", "words"), WORDS)
def test_a_refusal_says_which_part_and_why(
    compiler: GrammarCompiler, grammar: Grammar, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        compiler.compile(grammar)


def test_one_of_is_taken_where_it_is_exact_or_the_client_says_so(compiler: GrammarCompiler) -> None:
    kinds = [{"properties": {"k": {"const": k}}, "required": ["k"]} for k in "ab"]
    exact = [{"type": "object", **kind} for kind in kinds]
    compiler.compile(schema({"oneOf": exact}))
    compiler.compile(schema({"oneOf": [{"type": "string"}, {"type": "integer"}]}))
    loose = [{"type": "object"}, {"type": "object", "properties": {"a": {}}}]
    compiler.compile(schema({"oneOf": loose, "x-guidance": {"coerce_one_of": True}}))


async def test_a_grammar_is_compiled_once(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Grammar] = []

    def counted(grammar: Grammar) -> str:
        compiled.append(grammar)
        return serialised(grammar)

    monkeypatch.setattr(compiling, "serialised", counted)
    for _ in range(3):
        await compiler.matcher(regex("a+"))
    await compiler.matcher(regex("b+"))
    assert compiled == [regex("a+"), regex("b+")]


async def test_copies_know_nothing_of_each_other(compiler: GrammarCompiler) -> None:
    one, other = [await compiler.matcher(regex("abc")) for _ in range(2)]
    first = one.forced()[0]
    one.accept(first)
    assert other.forced()[0] == first


def test_the_cache_is_bounded(compiler: GrammarCompiler) -> None:
    for index in range(bounds.CACHED_GRAMMARS + 10):
        compiler.compile(regex(f"a{{{index + 1}}}"))
    assert compiler.num_cached == bounds.CACHED_GRAMMARS
    for index in range(30):
        text = '{"description": "' + "x" * 250_000 + f'{index}"}}'
        compiler.compile(schema(text))
    assert compiler.num_cached <= bounds.CACHED_TEXT // 250_000


@pytest.mark.parametrize("has_failed", [True, False])
def test_what_has_taken_long_is_compiled_anew(compiler: GrammarCompiler, has_failed: bool) -> None:
    compiler.compile(regex("a+"))
    compiler.took(regex("a+"), bounds.MOST_MASK_S / 2)
    assert compiler.num_cached == 1
    compiler.took(regex("a+"), 0.0 if has_failed else bounds.MOST_MASK_S, has_failed=has_failed)
    assert compiler.num_cached == 0


async def test_what_never_ends_is_refused(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_slow(_work: object) -> None:
        raise TooSlowError

    monkeypatch.setattr(compiler._worker, "run", too_slow)
    with pytest.raises(InvalidRequest, match="takes too long"):
        await compiler.matcher(regex("a"), param="guided_regex")


async def test_compiling_leaves_the_event_loop_alone(compiler: GrammarCompiler) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await compiler.matcher(TAKEN["1,000 properties"])
    ticking.cancel()
    assert ticks > 10


def test_every_reason_is_a_sentence() -> None:
    for text in (wording.TOO_LARGE, wording.EMPTY, wording.TOO_SLOW):
        assert text.endswith(".")


def test_a_special_tokens_name_as_a_text_is_refused_for_what_it_is(
    compiler: GrammarCompiler,
) -> None:
    matcher = compiler.compile(Grammar(kind="choice", choices=("<|im_end|>",)))
    memory = bytearray(compiler.mask_bytes)

    def write() -> None:
        for _ in range(20):
            matcher.accept(_last_allowed(matcher, memory))

    with pytest.raises(InvalidRequest, match="special tokens as a text"):
        write()
