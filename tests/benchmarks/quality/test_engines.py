"""Engines of a run have room for all that is asked, and texts begin as the model wants them to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.quality import engines, forcing, sequences, vllm_forcing
from benchmarks.quality.engines import Engines, QualityOptions, beginning_of
from models.progress import Progress, Silent
from models.refs import Artifact
from quantize.measuring import windows
from serve.engine.fake import FakeEngine
from serve.engine.settings import EngineSettings, FakeSettings

OPTIONS = QualityOptions(
    engine="transformers",
    items=(),
    texts=[("t", "abcdefgh")],
    window=6,
    max_tokens=100,
    streams=(),
    making={},
)


class Letters:
    """A tokenizer of one token a letter."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]

    def decode_raw(self, tokens: list[int]) -> str:
        return str(len(tokens))


def of(options: QualityOptions = OPTIONS, prompts=(), scratch: Path = Path()) -> Engines:
    renderer = SimpleNamespace(tokenizer=Letters())
    return Engines(options, renderer, prompts, scratch, Progress(Silent()))


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 1000}))
    return Artifact(name="m", path=tmp_path)


@pytest.fixture
def built(monkeypatch) -> list[tuple[str, EngineSettings, FakeEngine]]:
    """Engines that would have been built."""
    seen: list[tuple[str, EngineSettings, FakeEngine]] = []

    def build(name, _path, settings, _progress):
        seen.append((name, settings, FakeEngine(replace(settings, vllm=EngineSettings().vllm))))
        return seen[-1][2]

    monkeypatch.setattr(engines, "build", build)
    return seen


async def test_an_engine_holds_the_longest_answer_and_every_sequence_of_a_step(
    model, built, tmp_path
) -> None:
    its = of(replace(OPTIONS, streams=(1, 40)), [[1] * 300], tmp_path)
    async with its.running(model) as (running, load_s):
        assert running.folder.parent == tmp_path
        assert load_s >= 0
    ((name, settings, _),) = built
    assert (name, settings.max_num_seqs) == ("transformers", 40)
    assert settings.max_model_len == 300 + sequences.LONGEST_ANSWER
    assert settings.kv_cache_tokens >= forcing.TOGETHER * settings.max_model_len
    assert list(tmp_path.iterdir()) == [tmp_path / "config.json"]


async def test_a_model_with_fewer_positions_sets_the_bound(model, built, tmp_path) -> None:
    (model.path / "config.json").write_text('{"text_config": {"max_position_embeddings": 99}}')
    async with of(replace(OPTIONS, window=512), scratch=tmp_path).running(model):
        pass
    assert built[0][1].max_model_len == 99


async def test_vllm_computes_whole_prompts_and_forces_tokens(model, built, tmp_path) -> None:
    options = replace(OPTIONS, engine="vllm", window=512)
    async with of(options, scratch=tmp_path).running(model) as (running, _):
        ((name, settings, _engine),) = built
    assert name == "vllm"
    assert settings.max_num_batched_tokens == vllm_forcing.TOGETHER * settings.max_model_len
    assert settings.vllm.logits_processors == (vllm_forcing.PROCESSOR,)
    assert any(str(running.folder) in argument for argument in settings.vllm.engine_args)


async def test_an_engine_is_closed_whatever_ends_its_use(model, built, tmp_path) -> None:
    closed = []

    async def close() -> None:
        closed.append(1)

    async def use() -> None:
        async with of(scratch=tmp_path).running(model) as (running, _):
            running.engine.close = close
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await use()
    assert closed == [1]


def test_windows_of_a_text_all_begin_with_the_mark() -> None:
    forced = of().forced([], 512, [1])
    assert {sequence.source for sequence in forced} == {"t"}
    assert {sequence.given[0] for sequence in forced} == {1}
    assert [t for sequence in forced for t in sequence.scored] == [ord(x) for x in "bcdefgh"]
    assert max(len(sequence.given + sequence.scored) for sequence in forced) <= OPTIONS.window


def test_answers_come_before_texts_and_a_text_is_cut_at_its_first_tokens() -> None:
    its = of(replace(OPTIONS, max_tokens=3), [[5, 6]])
    answer, *texts = its.forced([(7, 8)], 512, ())
    assert (answer.source, answer.given, answer.scored) == ("evaluation", (5, 6), (7, 8))
    assert "".join(chr(t) for sequence in texts for t in sequence.scored) == "bcd"


def test_a_window_is_no_longer_than_the_engines_context() -> None:
    forced = of(replace(OPTIONS, window=512)).forced([], 4, ())
    assert max(len(sequence.given + sequence.scored) for sequence in forced) <= 4


def test_nothing_to_measure_on_says_what_to_give() -> None:
    with pytest.raises(ValueError, match="give --text FILE, or leave --no-items out"):
        of(replace(OPTIONS, texts=())).forced([], 512, ())


async def test_speed_is_measured_at_each_number_of_streams_and_answers_are_graded() -> None:
    items = [{"messages": [], "expect": {"number": 2}}, {"messages": [], "expect": {"number": 9}}]
    its = of(replace(OPTIONS, streams=(2, 3), items=items))
    engine = FakeEngine(EngineSettings(fake=FakeSettings(vocab_size=64)))
    figures = await its.figures(engine, 1.5, "m", [(70, 71), (70, 71)])
    assert list(figures.speed) == ["2", "3"]
    assert figures.load_s == 1.5
    assert figures.evaluation == sequences.Score(right=1, items=2)
    silent = await of().figures(engine, 0.0, "m", [])
    assert (silent.speed, silent.evaluation) == ({}, None)


class Plain:
    """A tokenizer that marks no beginning, though the model has a mark for it."""

    bos_token_id = 2
    marks: tuple[int, ...] = ()

    def __call__(self, text: str, *, add_special_tokens: bool = True, **_) -> SimpleNamespace:
        words = [10 + len(word) for word in text.split()]
        return SimpleNamespace(input_ids=[*(self.marks if add_special_tokens else ()), *words])


class Marking(Plain):
    marks = (1,)


class GemmaTokenizerFast(Plain):
    """Of models that find no sense in a text without the mark."""


@pytest.mark.parametrize(
    ("tokenizer", "begins"), [(Plain(), ()), (Marking(), (1,)), (GemmaTokenizerFast(), (2,))]
)
def test_a_text_begins_as_quantize_has_it_begin(tokenizer, begins, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(windows.AutoTokenizer, "from_pretrained", lambda *_, **__: tokenizer)
    assert beginning_of(tmp_path, 512) == begins
