"""Masking from the settings: nothing without a file, and a file that is followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.composition.screens import open_screens
from serve.config import Config
from serve.engine.protocol import SamplingParams
from serve.errors import StartupError
from serve.governance.principal import ANONYMOUS
from serve.governance.screening import Screens
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.observe.record import RequestRecord
from serve.pipeline.events import Generation, TextPrompt
from serve.timeline import Timeline


@pytest.fixture(autouse=True)
def _no_masked_logs() -> Iterator[None]:
    yield
    logs.set_masking(None)


async def prompt_of(screens: Screens) -> str:
    record = RequestRecord(request_id="r", method="POST", timeline=Timeline(arrived_at=0.0))
    generation = Generation(
        prompts=(TextPrompt("ann@example.com"),), sampling=SamplingParams(max_tokens=1)
    )
    (prompt,) = (await screens.screen(ANONYMOUS, record, generation)).generation.prompts
    assert isinstance(prompt, TextPrompt)
    return prompt.text


async def test_without_a_file_nothing_is_masked() -> None:
    assert await prompt_of(open_screens(Config(), Metrics()).screens) == "ann@example.com"


async def test_a_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "masking.toml"
    path.write_text('[default]\nmask = ["email"]')
    metrics = Metrics()
    screening = open_screens(Config(masking_file=path), metrics)
    shown = metrics.render()[0].decode()
    assert 'masking_hits_total{action="mask",rule="email",side="answers"} 0.0' in shown
    assert "intramural_masking_file_usable 1.0" in shown
    assert await prompt_of(screening.screens) == "[EMAIL]"
    path.write_text('[default]\npseudonymise = ["email"]')
    screening.reload()
    assert await prompt_of(screening.screens) == "<EMAIL_1>"
    path.write_text("[default")
    screening.reload()
    assert await prompt_of(screening.screens) == "<EMAIL_1>"
    assert "intramural_masking_file_usable 0.0" in metrics.render()[0].decode()


def test_a_bad_file_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="is not there"):
        open_screens(Config(masking_file=tmp_path / "none"), Metrics())
