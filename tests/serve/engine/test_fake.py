"""The fake keeps the contract, and does what it is scripted to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from serve.engine.fake import FakeEngine
from serve.engine.protocol import Engine
from serve.engine.settings import EngineSettings, FakeSettings
from serve.errors import EngineDeadError
from tests.contracts.engine import EngineContract, Kill, collect, request, tokens


class TestFakeContract(EngineContract):
    @pytest.fixture(params=[(1,), (3, 1, 5)], ids=["single", "chunked"])
    async def engine(self, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
        fake = FakeSettings(chunk_sizes=request.param, vocab_size=1024)
        engine = FakeEngine(EngineSettings(max_num_seqs=8, max_model_len=512, fake=fake))
        yield engine
        await engine.close()

    @pytest.fixture
    def kill(self) -> Kill:
        return lambda engine: engine.die()  # type: ignore[attr-defined]


def fake(**settings: object) -> FakeEngine:
    return FakeEngine(EngineSettings(fake=FakeSettings(**settings)))  # type: ignore[arg-type]


async def test_a_script_is_spoken_in_its_chunks() -> None:
    engine = fake(script=(10, 11, 12), chunk_sizes=(2, 1))
    chunks = await collect(engine, request(max_tokens=7))
    assert [list(chunk.token_ids) for chunk in chunks] == [[10, 11], [12], [10, 11], [12], [10]]


async def test_a_scripted_end_of_sequence_stops() -> None:
    engine = fake(script=(10, 2, 12), chunk_sizes=(5,))
    assert await tokens(engine, request(max_tokens=9, ignore_eos=False)) == [10, 2]
    assert await tokens(engine, request(max_tokens=5)) == [10, 2, 12, 10, 2]


async def test_it_dies_when_told() -> None:
    engine = fake(die_after=5)
    with pytest.raises(EngineDeadError):
        await tokens(engine, request(max_tokens=6))


async def test_death_interrupts_a_slow_stream() -> None:
    engine = fake(tokens_per_s=0.001)
    stream = engine.stream(request())
    import asyncio

    task = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    engine.die()
    with pytest.raises(EngineDeadError):
        await task


async def test_the_cache_bounds_what_runs() -> None:
    engine = FakeEngine(EngineSettings(max_num_seqs=8, max_model_len=100, kv_cache_tokens=100))
    first = engine.stream(request(max_tokens=60))
    await anext(first)
    import asyncio

    second = asyncio.create_task(tokens(engine, request(max_tokens=60)))
    await asyncio.sleep(0.01)
    assert (engine.load().num_running, engine.load().num_waiting) == (1, 1)
    await first.aclose()
    assert len(await second) == 60


def test_it_imports_no_torch() -> None:
    script = (
        "import sys; from serve.engine.registry import build\n"
        "from serve.engine.settings import EngineSettings\n"
        "build('fake', None, EngineSettings(), lambda *_: None)\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
