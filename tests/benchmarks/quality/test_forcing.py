"""Teacher forcing on a small random model: against transformers' own forward, and itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.quality import forcing, formulas, greedy, sequences
from benchmarks.quality.agreement import by_source, by_source_of_tokens, histogram
from benchmarks.quality.sequences import Forced
from serve.engine.settings import EngineSettings
from serve.engine.transformers_engine import TransformersEngine
from tests.tiny_models import VOCAB_SIZE, write_tiny_model

SIZES = [(1, 5), (70, 3), (3, 1), (130, 64), (2, 9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture(scope="module")
def engine(folder) -> Iterator[TransformersEngine]:
    settings = EngineSettings(max_num_seqs=3, max_model_len=256, kv_cache_tokens=1024)
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


def test_logits_are_those_of_a_plain_forward(folder, engine, forced):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for each in forced:
        tokens = torch.tensor([each.given + each.scored])
        with torch.inference_mode():
            logits = model(tokens).logits[0]
        expected.append(logits[len(each.given) - 1 : -1])
    wanted = torch.cat(expected)
    seen: list[int] = []
    for rows, logits in forcing.forced_logits(engine, forced):
        assert torch.allclose(logits, wanted[rows], atol=1e-3, rtol=1e-3)
        seen += rows
    assert sorted(seen) == list(range(len(wanted)))


def test_a_model_against_itself_has_lost_nothing(engine, forced, tmp_path):
    done: list[int] = []
    kept = forcing.spill(engine, forced, tmp_path / "logits", done.append)
    rows = forcing.compared(engine, forced, kept, done.append)
    num_tokens = sum(scored for _, scored in SIZES)
    assert sum(done) == 2 * num_tokens * VOCAB_SIZE * 4
    found = by_source(forced, rows)
    assert list(found) == ["a", "b", "all"]
    assert found["all"].tokens == num_tokens
    for each in found.values():
        assert each.top1 == 1
        assert each.kl is not None
        assert each.kl.largest < 1e-9
        assert each.ratio is not None
        assert each.ratio.value == pytest.approx(1, abs=1e-6)


def test_rows_are_in_the_order_of_the_tokens(engine, forced, tmp_path):
    """The kept logits are of other numbers by token, so a row out of place would show."""
    total = sum(scored for _, scored in SIZES)
    kept = forcing.Spilled(path=tmp_path / "logits")
    flat = torch.zeros(total, VOCAB_SIZE)
    tokens = [token for each in forced for token in each.scored]
    flat[range(total), tokens] = torch.arange(total).float()
    kept.put(range(total), flat, total)
    rows = forcing.compared(engine, forced, kept, lambda _: None)
    wanted = formulas.compare(flat, flat, torch.tensor(tokens))
    assert torch.allclose(rows.base_nll, wanted.base_nll)


def test_a_sequence_beyond_the_context_is_refused(engine):
    long = Forced(source="x", given=(1,) * 250, scored=(2,) * 20)
    with pytest.raises(ValueError, match="smaller --window"):
        list(forcing.forced_logits(engine, [long]))


async def test_greedy_tokens_of_a_model_agree_with_itself(engine, forced):
    own = await greedy.continued(engine, forced)
    assert [len(each.scored) for each in own] == [scored for _, scored in SIZES]
    assert await greedy.differences(engine, own) == [0] * len(SIZES)
    spoiled = Forced(
        source="s", given=own[3].given, scored=(*own[3].scored[:-1], own[3].scored[-1] ^ 1)
    )
    assert await greedy.differences(engine, [spoiled]) == [1]
    found = by_source_of_tokens([own[3], spoiled], [0, 1])
    assert found["all"].top1 == 1 - 1 / 128
    assert found["s"].top1 == 1 - 1 / 64


async def test_answers_end_with_what_ended_them(engine, forced):
    found = await sequences.answers(engine, [each.given for each in forced])
    ends = engine.info.eos_token_ids
    assert all(answer[-1] in ends or len(answer) == sequences.LONGEST_ANSWER for answer in found)


def test_the_histogram_counts_every_token():
    found = histogram([0.0, 1e-12, 2e-5, 0.5, 80.0])
    assert found["1e-9"] == 2
    assert (found["1e-5"], found["1e-1"], found["1e1"]) == (1, 1, 1)
    assert sum(found.values()) == 5
