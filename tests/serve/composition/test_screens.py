"""Screens built from settings, in force and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.composition.screens import open_screens
from serve.config import Config
from serve.engine.protocol import SamplingParams
from serve.errors import ContentFiltered, StartupError
from serve.governance.principal import ANONYMOUS
from serve.observe.metrics import Metrics
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation, TextPrompt
from serve.timeline import Timeline

FILTER = 'version = "1"\n[[rules]]\nname = "r"\ncategory = "hate"\nwords = ["{word}"]\n'
PRESETS = '[tenants.anonymous]\npreset = "{name}"\n'


def generation(text: str) -> Generation:
    return Generation(prompts=(TextPrompt(text),), sampling=SamplingParams(max_tokens=9))


def record() -> RequestRecord:
    return RequestRecord(request_id="req-1", method="POST", timeline=Timeline(arrived_at=0))


async def test_without_files_there_are_presets_alone() -> None:
    screening = open_screens(Config(), Metrics())
    assert screening.moderator is None
    asked = generation("bad")
    assert (await screening.screens.screen(ANONYMOUS, record(), asked)).generation == asked


async def test_both_files_are_in_force_and_read_again(tmp_path: Path) -> None:
    rules, presets = tmp_path / "filter.toml", tmp_path / "presets.toml"
    rules.write_text(FILTER.format(word="bad"))
    presets.write_text(PRESETS.format(name="qa"))
    config = Config(content_filter_file=rules, presets_file=presets)
    metrics = Metrics()
    screening = open_screens(config, metrics)
    assert screening.moderator is not None
    with pytest.raises(ContentFiltered):
        await screening.screens.screen(ANONYMOUS, record(), generation("bad"))
    rules.write_text(FILTER.format(word="worse"))
    presets.write_text(PRESETS.format(name="creative"))
    screening.reload()
    screened = await screening.screens.screen(ANONYMOUS, record(), generation("bad"))
    assert "content filter " in str(screened.rules)
    assert screened.is_reproducible
    assert screened.generation.sampling.temperature == 0.9
    rules.write_text("broken")
    screening.reload()
    with pytest.raises(ContentFiltered):
        await screening.screens.screen(ANONYMOUS, record(), generation("worse"))
    figures = metrics.render()[0].decode()
    assert "intramural_content_filter_file_usable 0.0" in figures
    assert "intramural_presets_file_usable 1.0" in figures


def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        open_screens(Config(content_filter_file=tmp_path / "none"), Metrics())
