"""From --quant to a folder: found, made, refused.

The process that quantises is `python -m quantize`; tests/e2e/test_quant.py has it for real.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from models.refs import Artifact, QuantScheme
from models.target import ModelTarget
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize.plan.choices import Choice
from serve.errors import StartupError
from serve.provenance import child
from serve.provenance.quantising import QuantRequest, obtain
from tests.models.folders import whole

INT8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "int", "strategy": "group"}}},
}


@pytest.fixture
def full(tmp_path: Path) -> Path:
    folder = whole(tmp_path / "models" / "m")
    Manifest.build(folder).write(folder)
    return folder


@pytest.fixture
def quantised(tmp_path: Path, full: Path) -> Path:
    """What the quantising process would make, beside the store."""
    folder = whole(tmp_path / "made", quantization_config=INT8)
    tools = {QUANTISED_FROM: Manifest.read(full).digest}
    Manifest.build(folder, tools=tools).write(folder)
    return folder


def put_in_place(monkeypatch: pytest.MonkeyPatch, program: str) -> list[tuple[str, ...]]:
    """Have another program quantise: `python -c PROGRAM -m quantize ...`. Returns its calls."""
    start = asyncio.create_subprocess_exec
    calls: list[tuple[str, ...]] = []

    async def other(executable: str, *words: str, **options: object) -> asyncio.subprocess.Process:
        calls.append(words)
        return await start(executable, "-c", program, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(child.asyncio, "create_subprocess_exec", other)
    return calls


async def obtained(
    data_dir: Path,
    quant: str | None = "int8",
    *,
    model: str = "m",
    seen: list[tuple[str, int, int]] | None = None,
    **more: Any,
) -> Artifact:
    return await obtain(
        QuantRequest(
            target=ModelTarget.parse(model),
            choice=Choice.parse(quant) if quant else None,
            data_dir=data_dir,
            **more,
        ),
        environment={},
        is_offline=True,
        progress=lambda *at: seen.append(at) if seen is not None else None,
    )


async def test_it_is_made_once_and_then_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quantised: Path
) -> None:
    target = tmp_path / "models" / "m--int8"
    event = {"event": "progress", "phase": "quantise", "done_bytes": 3, "total_bytes": 9}
    program = (
        f"import json, os\nprint(json.dumps({event}))\nprint('[1]')\n"
        f"os.rename({str(quantised)!r}, {str(target)!r})"
    )
    calls = put_in_place(monkeypatch, program)
    seen: list[tuple[str, int, int]] = []
    made = await obtained(tmp_path, seen=seen, num_devices=2)
    assert (made.path, made.name, made.scheme) == (target, "m--int8", QuantScheme.INT8)
    assert seen == [("quantize", 3, 9)]
    assert calls[0][:5] == ("-m", "quantize", "m", "--scheme", "int8")
    assert calls[0][-2:] == ("--tp", "2")
    assert await obtained(tmp_path) == made
    assert len(calls) == 1


async def test_it_is_measured_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Path
) -> None:
    event = {"event": "progress", "phase": "measure", "done_bytes": 1, "total_bytes": 2}
    calls = put_in_place(monkeypatch, f"import json\nprint(json.dumps({event}))")
    seen: list[tuple[str, int, int]] = []
    for is_measured in (True, False):
        with pytest.raises(StartupError, match="made nothing"):
            await obtained(tmp_path, seen=seen, is_measured=is_measured)
    assert ["--no-measure" in words for words in calls] == [False, True]
    assert ("measure", 1, 2) in seen


async def test_its_error_is_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Path
) -> None:
    error = {"event": "error", "kind": "BadWeightsError", "message": "q_proj holds NaN"}
    put_in_place(monkeypatch, f"import json\nprint(json.dumps({error}))\nraise SystemExit(2)")
    with pytest.raises(StartupError, match="q_proj holds NaN"):
        await obtained(tmp_path)


async def test_one_that_makes_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Path
) -> None:
    put_in_place(monkeypatch, "")
    with pytest.raises(StartupError, match="made nothing to serve: m--int8 is not in the store"):
        await obtained(tmp_path)


async def test_a_folder_of_that_scheme_is_taken_and_of_another_refused(tmp_path: Path) -> None:
    folder = whole(tmp_path / "q", quantization_config=INT8)
    assert (await obtained(tmp_path, model=str(folder))).path == folder
    for scheme, wanted in (("int4", "int4 cannot be made"), ("none", "full weights cannot be")):
        with pytest.raises(StartupError, match=f"quantised to int8 already, and {wanted}"):
            await obtained(tmp_path, scheme, model=str(folder))


async def test_full_weights_are_what_they_are(tmp_path: Path, full: Path) -> None:
    assert (await obtained(tmp_path, "none")).path == full


async def test_where_a_signature_is_required_nothing_is_made(tmp_path: Path, full: Path) -> None:
    with pytest.raises(StartupError) as caught:
        await obtained(tmp_path, must_be_signed=True)
    assert "python -m quantize m --scheme int8" in str(caught.value)
    assert "python -m models sign m--int8" in str(caught.value)
    assert (await obtained(tmp_path, "none", must_be_signed=True)).path == full


async def test_offline_forbids_only_fetching(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="--offline forbids"):
        await obtained(tmp_path, model="qwen2-7b")


def told(choice: str) -> str:
    """A program that says what a budget comes to, and makes nothing."""
    return f"import json\nprint(json.dumps({{'event': 'plan', 'choice': {choice!r}}}))"


async def test_a_budget_is_made_a_scheme_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Path
) -> None:
    calls = put_in_place(monkeypatch, told("none"))
    assert (await obtained(tmp_path, None, num_bytes=5000)).path == full
    assert calls[0][:2] == ("-m", "quantize")
    assert "auto:5000" in calls[0]
    assert "--dry-run" in calls[0]


async def test_what_a_budget_comes_to_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: Path
) -> None:
    calls = put_in_place(monkeypatch, told("int4-down"))
    with pytest.raises(StartupError, match="m--int4-down is not in the store"):
        await obtained(tmp_path, None, num_bytes=5000)
    assert calls[1][3:5] == ("--scheme", "int4-down")


async def test_what_is_quantised_already_is_within_a_budget_or_refused(tmp_path: Path) -> None:
    folder = whole(tmp_path / "q", quantization_config=INT8)
    assert (await obtained(tmp_path, None, model=str(folder), num_bytes=10**9)).path == folder
    with pytest.raises(StartupError, match=r"quantised already \(int8\) and has"):
        await obtained(tmp_path, None, model=str(folder), num_bytes=10)
