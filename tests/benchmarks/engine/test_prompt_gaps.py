"""Gaps beside a prompt that arrives: which count, and, with a real model, how long they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.engine import prompt_gaps
from tests.real.models import FOLDER_VARIABLE

_MOST_MS = 300


def test_gaps_count_from_the_prompts_arrival_to_its_answer() -> None:
    gaps = prompt_gaps._gaps([1.0, 2.0, 4.0, 7.0, 11.0, 16.0], 3.0, 8.0)
    assert gaps == [2.0, 3.0, 4.0]


def test_it_measures_each_figure(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tiny), "--streams", "2", "--prompt", "300", "--rounds", "1"]
    assert prompt_gaps.main(words) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < figures["itl_ms_p50"] <= figures["itl_ms_p99"] <= figures["itl_ms_max"]
    assert figures["ttft_ms"] > 0


def test_a_long_prompt_holds_no_stream_up(
    capsys: pytest.CaptureFixture[str], *, is_proving: bool
) -> None:
    """On a machine that does nothing else."""
    if not is_proving or FOLDER_VARIABLE not in os.environ:
        pytest.skip(f"a minute with a real model: `make prove` with {FOLDER_VARIABLE}=FOLDER")
    folder = Path(os.environ[FOLDER_VARIABLE]) / "qwen2.5-coder"
    assert prompt_gaps.main([str(folder), "--rounds", "3"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["itl_ms_p99"] <= _MOST_MS
