"""The real recipe, where its environment is: `make calibrate-env`, or CALIBRATE_PYTHON=PYTHON."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from models.store import DEMO_WEIGHTS
from models.trust.manifest import QUANTISED_FROM, Manifest
from models.trust.verify import verify
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from tests.contracts.engine import request, tokens
from tests.house.tree import ROOT

PYTHON = Path(os.environ.get("CALIBRATE_PYTHON", ROOT / ".venv-calibrate/bin/python"))
TIMEOUT_S = 600

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="no environment with llmcompressor: make calibrate-env"
)


@pytest.mark.parametrize("method", ["gptq", "awq"])
async def test_what_llmcompressor_makes_is_taken_and_served(tmp_path: Path, method: str) -> None:
    for outcome in ("made", "present"):
        assert await asyncio.to_thread(outcome_of, method, tmp_path) == outcome
    path = tmp_path / "models" / "demo--int4"
    assert verify(path).is_ok
    assert Manifest.read(path).tools[QUANTISED_FROM] == Manifest.read(DEMO_WEIGHTS).digest
    assert "llmcompressor" in Manifest.read(path).tools
    engine = build("transformers", path, EngineSettings(), lambda *_: None)
    assert engine.info.dtype == "int4 (W4A16), bfloat16"
    assert len(await tokens(engine, request(max_tokens=3))) == 3
    await engine.close()


def outcome_of(method: str, data_dir: Path) -> str:
    given = ["demo", "--scheme", "int4", "--method", method, "--samples", "4", "--length", "64"]
    done = subprocess.run(
        [PYTHON, "-m", "quantize.calibrate", *given, "--data-dir", str(data_dir), "--json"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout.splitlines()[-1])["outcome"])
