"""Teacher forcing on a small random model: against transformers' own forward, and itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.quality import comparing, forcing, formulas, sequences
from benchmarks.quality.agreement import by_source, histogram
from benchmarks.quality.comparing import Running
from benchmarks.quality.sequences import Forced
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

SIZES = [(1, 5), (70, 3), (3, 1), (130, 64), (2, 9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture(scope="module")
def engine(folder) -> Iterator[TransformersEngine]:
    settings = EngineSettings(max_num_seqs=16, max_model_len=256, kv_cache_tokens=4096)
    engine = TransformersEngine.from_folder(folder, settings, lambda *_: None)
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def forced() -> list[Forced]:
    source = torch.Generator().manual_seed(3)
    tokens = [
        torch.randint(VOCAB_SIZE, (given + scored,), generator=source).tolist()
        for given, scored in SIZES
    ]
    return [
        Forced(source="ab"[n % 2], given=tuple(t[: SIZES[n][0]]), scored=tuple(t[SIZES[n][0] :]))
        for n, t in enumerate(tokens)
    ]


def plain(folder: Path, forced: Forced) -> torch.Tensor:
    """float32 ``[scored, V]`` by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([forced.given + forced.scored])).logits[0]
    return logits[len(forced.given) - 1 : -1]


def test_logits_are_those_of_a_plain_forward(folder, engine, forced):
    wanted = torch.cat([plain(folder, each) for each in forced])
    seen: list[int] = []
    for rows, logits in forcing.forced_logits(engine, forced):
        assert torch.allclose(logits, wanted[rows], atol=1e-3, rtol=1e-3)
        seen += rows
    assert sorted(seen) == list(range(len(wanted)))


async def test_a_model_against_itself_has_lost_nothing(engine, forced, tmp_path):
    done: list[int] = []
    own = Running(engine=engine, folder=tmp_path)
    (rows,) = await comparing.compared(own, [own], forced, done.append)
    num_tokens = sum(scored for _, scored in SIZES)
    assert sum(done) == num_tokens * VOCAB_SIZE * 4
    found = by_source(forced, rows)
    assert list(found) == ["a", "b", "all"]
    assert found["all"].tokens == num_tokens
    for each in found.values():
        assert each.top1 == 1
        assert each.kl.largest < 1e-9
        assert each.ratio.value == pytest.approx(1, abs=1e-6)


async def test_several_models_at_once_and_each_row_in_its_place(
    folder, engine, forced, tmp_path, monkeypatch
):
    """Against whole forwards; what is alive of distributions is a step's, and nothing on disk."""
    own, other = Running(engine=engine, folder=tmp_path), tmp_path / "other"
    write_tiny_model(other, seed=1)
    settings = EngineSettings(max_num_seqs=16, max_model_len=256, kv_cache_tokens=4096)
    second = TransformersEngine.from_folder(other, settings, lambda *_: None)
    most: list[int] = []
    compare = formulas.compare
    monkeypatch.setattr(
        comparing, "compare", lambda p, q, t: most.append(len(p)) or compare(p, q, t)
    )
    try:
        its = Running(engine=second, folder=tmp_path)
        same, differing = await comparing.compared(own, [own, its], forced, lambda _: None)
    finally:
        await second.close()
    wanted = formulas.compare(
        torch.cat([plain(folder, each) for each in forced]),
        torch.cat([plain(other, each) for each in forced]),
        torch.tensor([token for each in forced for token in each.scored]),
    )
    assert float(same.kl.max()) < 1e-9
    assert torch.allclose(differing.kl, wanted.kl, rtol=1e-2, atol=1e-4)
    assert torch.allclose(differing.quantised_nll, wanted.quantised_nll, atol=1e-2)
    assert max(most) <= forcing.TOGETHER
    assert [path for path in tmp_path.iterdir() if path != other] == []


def test_a_sequence_beyond_the_context_is_refused(engine):
    long = Forced(source="x", given=(1,) * 250, scored=(2,) * 20)
    with pytest.raises(ValueError, match="smaller --window"):
        list(forcing.forced_logits(engine, [long]))


async def test_answers_end_with_what_ended_them(engine, forced):
    found = await sequences.answers(engine, [each.given for each in forced])
    ends = engine.info.eos_token_ids
    rooms = [min(sequences.LONGEST_ANSWER, 256 - len(each.given)) for each in forced]
    assert all(
        answer[-1] in ends or len(answer) == room for answer, room in zip(found, rooms, strict=True)
    )


def test_a_cache_that_is_too_small_is_refused(engine):
    long = Forced(source="x", given=(1,) * 250, scored=(2,) * 6)
    engine_info = engine.info
    assert forcing.kv_tokens(256) <= engine_info.kv_cache_tokens < forcing.kv_tokens(257)
    assert next(forcing.forced_logits(engine, [long]))[0] == [0]


def test_the_histogram_counts_every_token():
    found = histogram([0.0, 1e-12, 2e-5, 0.5, 80.0])
    assert found["1e-9"] == 2
    assert (found["1e-5"], found["1e-1"], found["1e1"]) == (1, 1, 1)
    assert sum(found.values()) == 5
