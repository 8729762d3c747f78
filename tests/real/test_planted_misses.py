"""Planted misses on a real model and the transformers engine's own cache: each is named rightly.

The same plants as with the simulated cache (tests/serve/pipeline/prefix); the model is held to the
answers that they were written for. For `make prove` alone: a model of 1 GB.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import EngineRequest, TokenChunk
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from serve.pipeline.admission import Admission
from serve.pipeline.generate import Pipeline
from serve.pipeline.model_dialects.loading import load_dialect
from serve.pipeline.render import Renderer
from tests.real.fetch import FetchError, folder_of
from tests.real.models import MODELS
from tests.serve.pipeline.prefix.asking import CALL, Session, talked
from tests.serve.pipeline.prefix.test_planted_misses import PLANTED


class Saying:
    """An ``Engine`` whose model can make one call only."""

    def __init__(self, engine: TransformersEngine, text: str, tokens: Mapping[str, int]) -> None:
        self._engine = engine
        self.info = engine.info
        self.load, self.check_health, self.close = engine.load, engine.check_health, engine.close
        parts = re.split(r"(</?tool_call>)", text)
        names = [f"<[{tokens[part]}]>" if part in tokens else json.dumps(part) for part in parts]
        self._grammar = Grammar(kind="lark", text="start: " + " ".join(names[1:-1]))

    async def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        held = replace(request.sampling, grammar=self._grammar)
        async with aclosing(self._engine.stream(replace(request, sampling=held))) as chunks:
            async for chunk in chunks:
                yield chunk


class RealSession(Session):
    """A session on a real model, each with a tenant of its own."""

    def __init__(self, engine: TransformersEngine, folder: Path) -> None:
        renderer = Renderer.load(folder)
        eos = engine.info.eos_token_ids
        self.ids, self.prompt_ids = [], []
        self.pipeline = Pipeline(
            engine=Saying(engine, CALL, renderer.tokenizer.added_ids),
            renderer=renderer,
            admission=Admission(max_running=8, max_waiting=8),
            dialect=load_dialect(renderer.tokenizer, renderer.template, eos),
        )


@pytest.fixture(scope="module")
def model(is_proving: bool) -> Iterator[tuple[TransformersEngine, Path]]:
    if not is_proving:
        pytest.skip("a real model: `make prove` alone")
    (known,) = (model for model in MODELS if model.name == "qwen2.5-coder")
    try:
        folder = folder_of(known)
    except FetchError as error:
        pytest.skip(f"{known} could not be fetched: {error}")
    settings = EngineSettings(max_model_len=4096, max_num_seqs=4, kv_cache_tokens=65536)
    engine = TransformersEngine.from_folder(folder, settings, lambda *_: None)
    yield engine, folder
    asyncio.run(engine.close())


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_miss_is_named_at_its_token(
    model: tuple[TransformersEngine, Path], name: str
) -> None:
    cause, at, plant = PLANTED[name]
    session = RealSession(*model)
    talk = await talked(session)
    plant(talk)
    explained, _ = await session.ask(talk.messages, talk.tools)
    assert (explained.cause, str(explained.at)) == (cause, at), explained
    assert explained.token == explained.known_tokens == session.parted_at
    block_size = model[0].info.cache_block_size
    whole = min(explained.token, explained.prompt_tokens - 1) // block_size
    assert explained.cached_tokens == whole * block_size
