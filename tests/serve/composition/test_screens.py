"""Screens built from settings, in force and read again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from serve.composition.screens import open_screens
from serve.config import Config
from serve.engine.protocol import SamplingParams
from serve.errors import ContentFiltered, StartupError
from serve.governance.filtering.matchers import Matchers
from serve.governance.followed_file import on_a_thread
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


async def reread() -> None:
    """Wait for what was to be read on a thread."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_a_thread(lambda: loop.call_soon_threadsafe(done.set))
    await asyncio.wait_for(done.wait(), 20)


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
    await reread()
    screened = await screening.screens.screen(ANONYMOUS, record(), generation("bad"))
    assert "content filter " in str(screened.rules)
    assert screened.is_reproducible
    assert screened.generation.sampling.temperature == 0.9
    rules.write_text("broken")
    screening.reload()
    await reread()
    with pytest.raises(ContentFiltered):
        await screening.screens.screen(ANONYMOUS, record(), generation("worse"))
    figures = metrics.render()[0].decode()
    assert "intramural_content_filter_file_usable 0.0" in figures
    assert "intramural_presets_file_usable 1.0" in figures


async def test_a_filter_is_read_and_made_ready_beside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules before are in force meanwhile."""
    rules, threads, may_end = tmp_path / "filter.toml", [], threading.Event()
    rules.write_text(FILTER.format(word="bad"))
    screening = open_screens(Config(content_filter_file=rules), Metrics())
    prepare = Matchers.prepare

    def slow(self: Matchers) -> None:
        threads.append(threading.current_thread())
        may_end.wait(20)
        prepare(self)

    monkeypatch.setattr(Matchers, "prepare", slow)
    rules.write_text(FILTER.format(word="worse"))
    screening.reload()
    with pytest.raises(ContentFiltered):
        await screening.screens.screen(ANONYMOUS, record(), generation("bad"))
    may_end.set()
    await reread()
    with pytest.raises(ContentFiltered):
        await screening.screens.screen(ANONYMOUS, record(), generation("worse"))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        open_screens(Config(content_filter_file=tmp_path / "none"), Metrics())
