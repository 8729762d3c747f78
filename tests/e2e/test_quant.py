"""One command from a hub to an answer from quantised weights, on both engines; and once more."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from models.__main__ import main as models_command
from models.trust.manifest import QUANTISED_FROM, Manifest
from tests.e2e.server import Server, run_serve, serving
from tests.hub.emulator import Hub
from tests.tiny_models import write_tiny_model

ALIAS, REPO = "qwen2-7b", "Qwen/Qwen2-7B-Instruct"
ENGINES = {
    "transformers": ["--engine", "transformers"],
    "vllm": [
        "--engine",
        "vllm",
        "--enforce-eager",
        "--max-model-len",
        "512",
        "--max-num-seqs",
        "4",
    ],
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return write_tiny_model(folder, dtype="bfloat16")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def arguments(data_dir: Path, *more: str) -> list[str]:
    return ["--model", ALIAS, "--data-dir", str(data_dir), *more]


def hub_environment(hub: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}


def pulled(tiny: Path, data_dir: Path) -> None:
    code = models_command(["pull", ALIAS, "--from", str(tiny), "--data-dir", str(data_dir)])
    assert code == 0


def asked(server: Server) -> dict[str, object]:
    """Ask for three tokens. Returns the model's card."""
    body = {"model": ALIAS, "prompt": "def prefill(", "max_tokens": 3, "ignore_eos": True}
    answer = httpx.post(server.url + "/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 3
    (card,) = server.get("/v1/models").json()["data"]
    return dict(card)


def phases(server: Server) -> list[str]:
    return [phase["name"] for phase in server.get("/startupz").json()["phases"]]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_command_fetches_quantises_and_serves(
    engine: str, tmp_path: Path, tiny: Path, data_dir: Path
) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed")
    given = arguments(data_dir, "--quant", "int8", *ENGINES[engine])
    with Hub() as hub:
        hub.add(REPO, tiny)
        with serving(tmp_path, given, variables=hub_environment(hub)) as server:
            card = asked(server)
            first = phases(server)
            assert server.terminate() == 0
    made = Manifest.read(data_dir / "models" / f"{ALIAS}--int8")
    full = Manifest.read(data_dir / "models" / ALIAS)
    assert (card["digest"], card["quantization"]) == (made.digest, "int8")
    assert card["quality"]["kl_mean"] == made.quality.kl_mean > 0
    assert made.tools[QUANTISED_FROM] == full.digest
    assert {"download", "quantize", "measure", "verify", "load_weights"} <= set(first)
    log = server.log.read_text()
    assert f"int8 ({ALIAS}--int8)" in log
    assert f"made from  {full.digest[:30]}" in log
    (plan,) = [line for line in log.splitlines() if line.startswith("{") and '"plan"' in line]
    assert json.loads(plan)["facts"]["output_bytes"] > 0

    with serving(tmp_path, [*given, "--offline"]) as server:
        assert asked(server)["digest"] == made.digest
        assert not {"download", "quantize"} & set(phases(server))
        assert server.terminate() == 0


def test_a_scheme_that_the_engine_does_not_run_is_refused_before_anything_is_made(
    tiny: Path, data_dir: Path
) -> None:
    pulled(tiny, data_dir)
    ended = run_serve(*arguments(data_dir, "--quant", "fp8", "--device", "cpu"))
    assert ended.returncode == 2
    assert "--quant int8" in ended.stderr
    assert not (data_dir / "models" / f"{ALIAS}--fp8").exists()


def test_what_is_made_here_is_not_signed(tiny: Path, data_dir: Path, tmp_path: Path) -> None:
    pulled(tiny, data_dir)
    assert models_command(["keygen", str(tmp_path / "ours.pem")]) == 0
    (data_dir / "trusted-keys").mkdir()
    (tmp_path / "ours.pub").rename(data_dir / "trusted-keys" / "ours.pub")
    ended = run_serve(*arguments(data_dir, "--quant", "int8", "--require-signature"))
    assert ended.returncode == 2
    assert f"models sign {ALIAS}--int8" in ended.stderr
    assert not (data_dir / "models" / f"{ALIAS}--int8").exists()
