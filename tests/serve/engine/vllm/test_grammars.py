"""Grammars, rules of tokens and logprobs of the prompt on a real vLLM."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine, EngineRequest
from serve.engine.registry import build
from serve.engine.settings import VllmSettings
from serve.errors import EngineDeadError, InvalidRequest, UnsupportedField
from tests.adapters import write_adapter
from tests.contracts.engine import collect, prompt_of, request, tokens
from tests.serve.engine.vllm.living import SETTINGS, Keeper, engine_core, until_dead

pytest.importorskip("vllm", reason="vLLM is not installed")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore"),  # of vLLM's own imports
]

SCHEMA = (
    '{"type": "object", "properties": {"a": {"enum": [1, 22]}, "b": {"type": "boolean"}}, '
    '"required": ["a", "b"], "additionalProperties": false}'
)
GRAMMARS = {
    "json_schema": Grammar(kind="json_schema", text=SCHEMA, is_compact=True),
    "regex": Grammar(kind="regex", text="[ab]{3}-[0-9]"),
    "choice": Grammar(kind="choice", choices=("yes", 'no ::= "maybe"')),
    "lark": Grammar(
        kind="lark",
        text='start: "<" @args ">"',
        parts=(("args", Grammar(kind="json_schema", text=SCHEMA, is_compact=True)),),
    ),
}
JSON_TEXT = re.compile(r'\{"a": ?(1|22), ?"b": ?(true|false)\}')
LANGUAGES = {
    "json_schema": JSON_TEXT,
    "regex": re.compile(r"[ab]{3}-[0-9]"),
    "choice": re.compile(r'yes|no ::= "maybe"'),
    "lark": re.compile(f"<{JSON_TEXT.pattern}>"),
}
BROKEN = Grammar(kind="lark", text="start: nothing")


def held(prompt: list[int] | None = None, **sampling: Any) -> EngineRequest:
    """A request that ends where its grammar ends."""
    return request(prompt, **({"ignore_eos": False, "max_tokens": 200} | sampling))


async def texts(engine: Engine, folder: Path, *requests: EngineRequest) -> list[str]:
    """Of completions that all ended by themselves."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    results = []
    for chunks in await asyncio.gather(*(collect(engine, one) for one in requests)):
        token_ids = [token for chunk in chunks for token in chunk.token_ids]
        assert chunks[-1].finish_reason == "stop"
        assert token_ids[-1] in engine.info.eos_token_ids
        results.append(tokenizer.decode(token_ids[:-1], skip_special_tokens=False))
    return results


@pytest.mark.parametrize("kind", GRAMMARS)
async def test_completions_are_of_their_grammars_language(
    engine: Engine, tiny_qwen2: Path, kind: str
) -> None:
    assert "grammar" in engine.info.capabilities
    grammar, language = GRAMMARS[kind], LANGUAGES[kind]
    requests = [
        held(prompt_of(9, n), grammar=grammar, temperature=1.5 * (n % 2), seed=n) for n in range(6)
    ]
    for text in await texts(engine, tiny_qwen2, *requests):
        assert language.fullmatch(text), text


async def test_logprobs_with_a_grammar_are_of_the_models_own_distribution(engine: Engine) -> None:
    plain = (await collect(engine, request(num_logprobs=3, max_tokens=1)))[0].logprobs
    forced = Grammar(kind="lark", text="start: <[9]>")
    forced_one = (await collect(engine, held(num_logprobs=3, grammar=forced)))[0].logprobs
    assert plain is not None
    assert forced_one is not None
    assert forced_one[0].token_id == 9
    assert dict(forced_one[0].top) == pytest.approx(dict(plain[0].top))
    assert forced_one[0].logprob < plain[0].logprob


async def test_free_completions_beside_one_with_a_grammar_are_what_they_were(
    engine: Engine, tiny_qwen2: Path
) -> None:
    prompts = [prompt_of(9, n) for n in range(3)]
    alone = [await tokens(engine, request(prompt, max_tokens=30)) for prompt in prompts]
    one = held(grammar=GRAMMARS["regex"], max_tokens=30)
    *free, _ = await asyncio.gather(
        *(tokens(engine, request(prompt, max_tokens=30)) for prompt in prompts),
        texts(engine, tiny_qwen2, one),
    )
    assert free == alone


@pytest.mark.parametrize("rules", [{}, {"allowed_token_ids": frozenset({9})}])
async def test_a_grammar_that_fails_fails_its_own_request(
    engine: Engine, rules: dict[str, Any]
) -> None:
    """One that does not compile, and one whose first tokens another rule excludes."""
    grammar = GRAMMARS["json_schema"] if rules else BROKEN
    stream = engine.stream(request(max_tokens=100))
    first = await anext(stream)
    with pytest.raises(InvalidRequest, match=f"grammar \\({grammar.kind}\\)"):
        await collect(engine, held(grammar=grammar, **rules))
    num_more = sum([len(chunk.token_ids) async for chunk in stream])
    assert len(first.token_ids) + num_more == 100
    await engine.check_health()
    assert engine.load().kv_cache_usage == 0


async def test_a_grammar_that_cannot_go_on_ends_in_an_error(engine: Engine) -> None:
    """After its first token, where the stream has begun."""
    grammar = Grammar(kind="lark", text="start: <[9]> <[10]>")
    with pytest.raises(InvalidRequest, match="at this point"):
        await collect(engine, held(grammar=grammar, bad_words=((9, 10),)))
    await engine.check_health()


async def test_fewest_tokens_end_where_the_grammar_ends(engine: Engine, tiny_qwen2: Path) -> None:
    one = held(grammar=GRAMMARS["choice"], min_tokens=40, max_tokens=50)
    assert (await texts(engine, tiny_qwen2, one))[0] in GRAMMARS["choice"].choices
    open_end = Grammar(kind="regex", text="[ab]*")
    assert len(await tokens(engine, held(grammar=open_end, min_tokens=9, max_tokens=9))) == 9


async def test_no_token_that_ends_comes_before_the_fewest(engine: Engine) -> None:
    (eos,) = engine.info.eos_token_ids
    wanted = {"logit_bias": {eos: 100.0}, "ignore_eos": False, "max_tokens": 20}
    assert await tokens(engine, request(**wanted)) == [eos]
    late = await tokens(engine, request(**wanted, min_tokens=5))
    assert len(late) == 6
    assert late.index(eos) == 5


async def test_only_allowed_tokens_come_and_those_that_end(engine: Engine) -> None:
    (eos,) = engine.info.eos_token_ids
    allowed = frozenset({5, 900})
    rules = {"allowed_token_ids": allowed, "temperature": 2.0, "max_tokens": 30}
    assert set(await tokens(engine, request(**rules, seed=1))) == allowed
    ended = await tokens(engine, request(**rules, ignore_eos=False, logit_bias={eos: 100.0}))
    assert ended == [eos]


async def test_bad_words_are_never_completed(engine: Engine) -> None:
    free = await tokens(engine, request(max_tokens=12))
    words = ((free[0],), tuple(free[3:5]))
    came = await tokens(engine, request(max_tokens=12, bad_words=words))
    assert free[0] not in came
    assert tuple(free[3:5]) not in set(pairwise(came))


async def test_logprobs_of_the_prompt_are_those_of_its_completion(engine: Engine) -> None:
    """What the model gives to a token is the same, whether it was given or chosen."""
    prompt = prompt_of(300, seed=5)
    chosen = [
        one
        for chunk in await collect(engine, request(prompt, max_tokens=3, num_logprobs=4))
        for one in chunk.logprobs or ()
    ]
    longer = [*prompt, *(one.token_id for one in chosen)]
    for count in (4, 0):  # the second time the prefix cache has it
        chunks = await collect(engine, request(longer, max_tokens=3, num_prompt_logprobs=count))
        first, *others = (chunk.prompt_logprobs for chunk in chunks)
        assert others == [None] * len(others)
        assert first is not None
        assert first[0] is None
        assert [one.token_id for one in first if one] == longer[1:]
        for one, again in zip(chosen, first[-3:], strict=True):
            assert again is not None
            assert again.logprob == pytest.approx(one.logprob, abs=1e-4)
            assert again.rank == 1
            assert len(again.top) == count


async def test_grammars_are_there_again_after_a_death(keeper: Keeper, tiny_qwen2: Path) -> None:
    engine = await keeper.engine()
    os.kill(engine_core(engine), signal.SIGKILL)
    with suppress(EngineDeadError):
        await asyncio.wait_for(until_dead(engine), 30)
    engine = await keeper.engine()
    (text,) = await texts(engine, tiny_qwen2, held(grammar=GRAMMARS["choice"], max_tokens=50))
    assert text in GRAMMARS["choice"].choices


async def test_drafts_change_nothing_of_a_grammar(tiny_qwen2: Path) -> None:
    """Speculation from the prompt: the same text comes, in fewer steps or not."""
    speculation = '{"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2}'
    vllm = VllmSettings(enforce_eager=True, engine_args=(f"speculative_config={speculation}",))
    drafting = await asyncio.to_thread(
        build, "vllm", tiny_qwen2, replace(SETTINGS, vllm=vllm), lambda *_: None
    )
    try:
        repeated = Grammar(kind="regex", text="(ab){20}c?")
        prompt = Tokenizer.from_file(str(tiny_qwen2 / "tokenizer.json")).encode("ab" * 20).ids
        ones = [held(prompt, grammar=repeated, max_tokens=80) for _ in range(4)]
        for text in await texts(drafting, tiny_qwen2, *ones):
            assert re.fullmatch(repeated.text, text)
        for kind, grammar in GRAMMARS.items():
            ones = [held(prompt_of(9, n), grammar=grammar, max_tokens=200) for n in range(3)]
            for text in await texts(drafting, tiny_qwen2, *ones):
                assert LANGUAGES[kind].fullmatch(text), text
    finally:
        await drafting.close()


async def test_an_adapters_completions_are_of_the_grammar_too(
    tiny_qwen2: Path, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "ward", tiny_qwen2, seed=3)
    vllm = VllmSettings(enforce_eager=True, adapters=(("ward", tmp_path / "ward"),))
    engine = await asyncio.to_thread(
        build, "vllm", tiny_qwen2, replace(SETTINGS, vllm=vllm), lambda *_: None
    )
    try:
        ones = [replace(held(grammar=GRAMMARS["lark"]), adapter=name) for name in ("ward", None)]
        for text in await texts(engine, tiny_qwen2, *ones):
            assert LANGUAGES["lark"].fullmatch(text), text
    finally:
        await engine.close()


async def test_a_tokenizer_that_allows_no_grammars_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    engine = await asyncio.to_thread(build, "vllm", folder, SETTINGS, lambda *_: None)
    try:
        assert "grammar" not in engine.info.capabilities
        assert "no grammars on this model" in caplog.text
        with pytest.raises(UnsupportedField):
            await collect(engine, held(grammar=GRAMMARS["regex"]))
        assert len(await tokens(engine, request(max_tokens=5))) == 5
    finally:
        await engine.close()
