"""vLLM keeps the contract, on one engine for all tests that leave it alive."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from models.memory import fit
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine, EngineRequest
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm.processes import shared_memory
from serve.environment import harden_environment
from serve.errors import (
    EngineDeadError,
    InternalError,
    InvalidRequest,
    StartupError,
    UnsupportedField,
)
from tests.contracts.engine import EngineContract, Kill, collect, prompt_of, request, tokens

pytest.importorskip("vllm", reason="vLLM is not installed")
from vllm.engine import arg_utils
from vllm.usage.usage_lib import UsageContext

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore"),  # of vLLM's own imports
]

SETTINGS = EngineSettings(max_num_seqs=8, max_model_len=512, vllm=VllmSettings(enforce_eager=True))
BLOCK_TOKENS = 128


class Keeper:
    """The engine that is alive; another one after a test that killed it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine: Engine | None = None
        self.phases: list[tuple[str, int, int]] = []

    async def engine(self) -> Engine:
        if self._engine is not None:
            try:
                await self._engine.check_health()
            except EngineDeadError:
                await self.close()
        if self._engine is None:
            self._engine = await asyncio.to_thread(
                build, "vllm", self._folder, SETTINGS, lambda *at: self.phases.append(at)
            )
        return self._engine

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keeper(tiny_qwen2: Path) -> AsyncIterator[Keeper]:
    harden_environment()
    keeper = Keeper(tiny_qwen2)
    yield keeper
    await keeper.close()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(keeper: Keeper) -> Engine:
    return await keeper.engine()


def engine_core(engine: Engine) -> int:
    """The process that schedules."""
    return cast("Any", engine)._processes[0].pid


async def _until_dead(engine: Engine) -> None:
    while True:
        await engine.check_health()
        await asyncio.sleep(0.01)


class TestVllmContract(EngineContract):
    @pytest_asyncio.fixture(loop_scope="module")
    async def engine(self, keeper: Keeper) -> Engine:  # type: ignore[override]
        return await keeper.engine()

    @pytest.fixture
    def kill(self) -> Kill:
        return lambda engine: os.kill(engine_core(engine), signal.SIGKILL)


async def test_what_it_is(engine: Engine, keeper: Keeper) -> None:
    info = engine.info
    assert (info.name, info.device, info.dtype) == ("vllm", "cpu", "float32")
    assert (info.max_model_len, info.vocab_size) == (512, 1024)
    assert info.kv_cache_tokens >= 8 * 512
    assert info.num_parameters > 0
    assert "prefix_cache" in info.capabilities
    names = [phase for phase, _, _ in keeper.phases]
    assert list(dict.fromkeys(names))[:4] == ["import", "load_weights", "allocate_kv", "warm_up"]
    assert ("import", 1, 1) in keeper.phases


@pytest.mark.parametrize("gib", [24, 69, 70, 159, 160])
async def test_models_fit_reckons_with_vllms_own_steps(
    gib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the installed vLLM takes on a card of this memory, which nobody has here."""
    card = SimpleNamespace(
        get_device_total_memory=lambda: gib << 30,
        get_device_name=lambda: "a card",
        is_tpu=lambda: False,
        is_cpu=lambda: False,
    )
    monkeypatch.setattr(arg_utils, "current_platform", card)
    both = arg_utils.EngineArgs.get_batch_defaults(1)
    assert fit.gpu_step(gib << 30) == tuple(each[UsageContext.OPENAI_API_SERVER] for each in both)


async def test_greedy_tokens_are_the_transformers_engines(engine: Engine, tiny_qwen2: Path) -> None:
    other = build("transformers", tiny_qwen2, replace(SETTINGS, vllm=VllmSettings()), lambda *_: 0)
    try:
        for size in (1, 7, 130, 300):
            requests = [request(prompt_of(size, size), max_tokens=48) for _ in range(2)]
            assert await tokens(engine, requests[0]) == await tokens(other, requests[1])
    finally:
        await other.close()


async def test_prefixes_are_shared_under_one_salt_only(engine: Engine) -> None:
    prompt = prompt_of(3 * BLOCK_TOKENS + 5, seed=99)

    async def cached(salt: str | None) -> int:
        engine_request = replace(request(prompt, max_tokens=2), cache_salt=salt)
        return (await collect(engine, engine_request))[0].cached_tokens

    assert await cached("a") == 0
    assert await cached("a") == 3 * BLOCK_TOKENS
    assert await cached("b") == 0
    assert await cached(None) == 0
    assert await cached("b") == 3 * BLOCK_TOKENS


async def test_the_edges_of_sampling(engine: Engine) -> None:
    greedy = await tokens(engine, request())
    for sampling in (
        {"temperature": 1e-9},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "top_p": 1e-9},
        {"temperature": 1.0, "top_k": 10**9, "min_p": 1.0},
    ):
        assert await tokens(engine, request(**sampling)) == greedy
    forced = await tokens(engine, request(logit_bias={5: 100.0}, max_tokens=3))
    assert forced == [5, 5, 5]
    for seed in (-1, 2**63 - 1, -(2**63) + 1):
        requests = [request(temperature=1.5, seed=seed, max_tokens=20) for _ in range(2)]
        first, second = [await tokens(engine, one) for one in requests]
        assert first == second
    varied = await tokens(
        engine,
        request(max_tokens=30, frequency_penalty=2.0, presence_penalty=2.0, repetition_penalty=2.0),
    )
    assert len(set(varied)) > len(set(await tokens(engine, request(max_tokens=30))))


async def test_logprobs_are_of_the_models_own_distribution(engine: Engine) -> None:
    plain = (await collect(engine, request(num_logprobs=3, max_tokens=1)))[0].logprobs
    bent = (
        await collect(
            engine,
            request(num_logprobs=3, max_tokens=1, logit_bias={5: 100.0}, temperature=2.0, seed=1),
        )
    )[0].logprobs
    assert plain is not None
    assert bent is not None
    assert bent[0].token_id == 5
    assert dict(bent[0].top) == pytest.approx(dict(plain[0].top))
    assert bent[0].logprob < plain[0].logprob


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
        request(prompt_of(9, n), grammar=grammar, max_tokens=200, temperature=1.5 * (n % 2), seed=n)
        for n in range(6)
    ]
    for text in await texts(engine, tiny_qwen2, *requests):
        assert language.fullmatch(text), text


async def test_logprobs_with_a_grammar_are_of_the_models_own_distribution(engine: Engine) -> None:
    plain = (await collect(engine, request(num_logprobs=3, max_tokens=1)))[0].logprobs
    forced = Grammar(kind="lark", text="start: <[9]>")
    held = (await collect(engine, request(num_logprobs=3, grammar=forced)))[0].logprobs
    assert plain is not None
    assert held is not None
    assert held[0].token_id == 9
    assert dict(held[0].top) == pytest.approx(dict(plain[0].top))
    assert held[0].logprob < plain[0].logprob


async def test_free_completions_beside_one_with_a_grammar_are_what_they_were(
    engine: Engine, tiny_qwen2: Path
) -> None:
    prompts = [prompt_of(9, n) for n in range(3)]
    alone = [await tokens(engine, request(prompt, max_tokens=30)) for prompt in prompts]
    held = request(grammar=GRAMMARS["regex"], max_tokens=30)
    *free, _ = await asyncio.gather(
        *(tokens(engine, request(prompt, max_tokens=30)) for prompt in prompts),
        texts(engine, tiny_qwen2, held),
    )
    assert free == alone


@pytest.mark.parametrize("rules", [{}, {"allowed_token_ids": frozenset({9})}])
async def test_a_grammar_that_fails_fails_its_own_request(
    engine: Engine, rules: dict[str, Any]
) -> None:
    """One that does not compile, and one whose first tokens another rule excludes."""
    grammar = GRAMMARS["json_schema"] if rules else BROKEN
    stream = engine.stream(request(max_tokens=100))
    await anext(stream)
    with pytest.raises(InvalidRequest, match=f"grammar \\({grammar.kind}\\)"):
        await collect(engine, request(grammar=grammar, **rules))
    assert sum([len(chunk.token_ids) async for chunk in stream]) >= 98
    await engine.check_health()
    assert engine.load().kv_cache_usage == 0


async def test_a_grammar_that_cannot_go_on_ends_in_an_error(engine: Engine) -> None:
    """After its first token, where the stream has begun."""
    grammar = Grammar(kind="lark", text="start: <[9]> <[10]>")
    with pytest.raises(InternalError):
        await collect(engine, request(grammar=grammar, bad_words=((9, 10),)))
    await engine.check_health()


async def test_fewest_tokens_end_where_the_grammar_ends(engine: Engine, tiny_qwen2: Path) -> None:
    held = request(grammar=GRAMMARS["choice"], min_tokens=40, max_tokens=50)
    assert (await texts(engine, tiny_qwen2, held))[0] in GRAMMARS["choice"].choices
    open_end = Grammar(kind="regex", text="[ab]*")
    assert len(await tokens(engine, request(grammar=open_end, min_tokens=9, max_tokens=9))) == 9


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
    held = await tokens(engine, request(max_tokens=12, bad_words=words))
    assert free[0] not in held
    assert tuple(free[3:5]) not in set(pairwise(held))


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


async def test_what_vllm_refuses_is_the_clients_error(engine: Engine) -> None:
    with pytest.raises(InvalidRequest):
        await collect(engine, request(stop_token_ids=frozenset({engine.info.vocab_size})))
    await engine.check_health()


async def test_grammars_are_there_again_after_a_death(keeper: Keeper, tiny_qwen2: Path) -> None:
    engine = await keeper.engine()
    os.kill(engine_core(engine), signal.SIGKILL)
    with suppress(EngineDeadError):
        await asyncio.wait_for(_until_dead(engine), 30)
    engine = await keeper.engine()
    (text,) = await texts(engine, tiny_qwen2, request(grammar=GRAMMARS["choice"], max_tokens=50))
    assert text in GRAMMARS["choice"].choices


async def test_a_stopped_engine_is_noticed_and_leaves_nothing(
    engine: Engine, keeper: Keeper
) -> None:
    known = cast("Any", engine)
    left = set(known._shared_memory)
    assert left
    assert shared_memory(known._processes) == left
    assert meeting_places()
    stream = engine.stream(request(max_tokens=400))
    await anext(stream)
    known._heartbeat._stall_timeout_s = 0.2
    os.kill(engine_core(engine), signal.SIGSTOP)
    with pytest.raises(EngineDeadError, match="hung"):
        await asyncio.wait_for(_until_dead(engine), 30)
    await keeper.close()
    with pytest.raises(EngineDeadError, match="hung"):
        async for _ in stream:
            pass
    assert [process for process in known._processes if process.is_alive()] == []
    assert [file for file in left if file.exists()] == []
    assert meeting_places() == []


def meeting_places() -> list[Path]:
    """Files by which vLLM's workers find each other."""
    from serve.engine.vllm import engine  # its import is vLLM's

    return list(Path(engine._own_folder()).glob("vllm_dist_*"))


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
        held = [request(prompt, grammar=repeated, max_tokens=80) for _ in range(4)]
        for text in await texts(drafting, tiny_qwen2, *held):
            assert re.fullmatch(repeated.text, text)
        for kind, grammar in GRAMMARS.items():
            held = [request(prompt_of(9, n), grammar=grammar, max_tokens=200) for n in range(3)]
            for text in await texts(drafting, tiny_qwen2, *held):
                assert LANGUAGES[kind].fullmatch(text), text
    finally:
        await drafting.close()


async def test_a_tokenizer_that_allows_no_grammars_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    engine = await asyncio.to_thread(build, "vllm", folder, SETTINGS, lambda *_: None)
    try:
        assert "grammar" not in engine.info.capabilities
        assert "no grammars on this model" in caplog.text
        with pytest.raises(UnsupportedField):
            await collect(engine, request(grammar=GRAMMARS["regex"]))
        assert len(await tokens(engine, request(max_tokens=5))) == 5
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EngineSettings(device="cuda"), "--device cuda"),
        (EngineSettings(vllm=VllmSettings(engine_args=("blok_size=1",))), "block_size"),
        (EngineSettings(vllm=VllmSettings(engine_args=("block_size=x",))), "cannot run"),
        (EngineSettings(max_model_len=10**5), "cannot run"),
    ],
)
async def test_what_cannot_start_says_why(
    tiny_qwen2: Path, settings: EngineSettings, message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        await asyncio.to_thread(build, "vllm", tiny_qwen2, settings, lambda *_: None)
