"""One command from a hub to an answer, and the same again with no hub left."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from models.__main__ import main as models_command
from models.trust.manifest import Manifest
from tests.e2e.server import Server, run_serve, serving
from tests.hub.emulator import Hub
from tests.tiny_models import write_tiny_model

ALIAS, REPO = "qwen2-7b", "Qwen/Qwen2-7B-Instruct"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def stored(tiny: Path, data_dir: Path) -> Path:
    """The model in the store, as `pull` puts it there."""
    code = models_command(["pull", ALIAS, "--from", str(tiny), "--data-dir", str(data_dir)])
    assert code == 0
    return data_dir / "models" / ALIAS


def arguments(data_dir: Path, *more: str) -> list[str]:
    return ["--model", ALIAS, "--data-dir", str(data_dir), "--engine", "transformers", *more]


def hub_environment(hub: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}


def asked(server: Server) -> str:
    """Ask for three tokens. Returns the digest that the server says it answers from."""
    body = {"model": ALIAS, "prompt": "def prefill(", "max_tokens": 3, "ignore_eos": True}
    answer = httpx.post(server.url + "/v1/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 3
    (card,) = server.get("/v1/models").json()["data"]
    return str(card["digest"])


def test_one_command_fetches_proves_and_serves(tmp_path: Path, tiny: Path, data_dir: Path) -> None:
    with Hub() as hub:
        hub.add(REPO, tiny)
        with serving(tmp_path, arguments(data_dir), variables=hub_environment(hub)) as server:
            digest = asked(server)
            phases = [phase["name"] for phase in server.get("/startupz").json()["phases"]]
            assert server.terminate() == 0
        num_requests = len(hub.seen)
    manifest = Manifest.read(data_dir / "models" / ALIAS)
    assert digest == manifest.digest
    assert phases[0] == "download"
    assert {"verify", "load_weights"} <= set(phases)
    pins = json.loads((data_dir / "models.lock").read_text())["models"]
    assert (pins[ALIAS]["repo"], pins[ALIAS]["digest"]) == (REPO, digest)
    assert num_requests > 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    access = [line for line in lines if line["logger"] == "intramural.access"]
    assert {line.get("model_digest") for line in access if line["status"] == 200} >= {digest}

    with (
        Hub() as hub,
        serving(
            tmp_path, arguments(data_dir, "--offline"), variables=hub_environment(hub)
        ) as server,
    ):
        assert asked(server) == digest
        assert server.terminate() == 0
        assert hub.seen == []


def test_offline_nothing_is_fetched(data_dir: Path) -> None:
    with Hub() as hub:
        for more, variables in (["--offline"], {}), ([], {"HF_HUB_OFFLINE": "1"}):
            given = hub_environment(hub) | variables
            ended = run_serve(*arguments(data_dir, *more), **given)
            assert ended.returncode == 2
            assert "--offline forbids fetching it" in ended.stderr
            assert "models pull qwen2-7b" in ended.stderr
        assert hub.seen == []


def test_what_the_hub_refuses_ends_the_start_with_its_reason(tiny: Path, data_dir: Path) -> None:
    with Hub() as hub:
        hub.add(REPO, tiny, gated=True)
        ended = run_serve(*arguments(data_dir), **hub_environment(hub))
    assert ended.returncode == 2
    assert "licence" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_flipped_bit_is_found_before_anybody_is_answered(stored: Path, data_dir: Path) -> None:
    weights = stored / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    ended = run_serve(*arguments(data_dir))
    assert ended.returncode == 2
    assert "model.safetensors" in ended.stderr
    assert "not what its manifest says" in ended.stderr


def test_a_required_signature(stored: Path, data_dir: Path, tmp_path: Path) -> None:
    refused = run_serve(*arguments(data_dir, "--require-signature"))
    assert refused.returncode == 2
    assert "trusted-keys" in refused.stderr

    trusted = data_dir / "trusted-keys"
    trusted.mkdir()
    for name in ("ours", "strangers"):
        assert models_command(["keygen", str(tmp_path / f"{name}.pem")]) == 0
    (tmp_path / "strangers.pub").rename(trusted / "strangers.pub")
    unsigned = run_serve(*arguments(data_dir, "--require-signature"))
    assert (unsigned.returncode, "model.sig" in unsigned.stderr) == (2, True)

    sign = ["sign", ALIAS, "--key", str(tmp_path / "ours.pem"), "--data-dir", str(data_dir)]
    assert models_command(sign) == 0
    stranger = run_serve(*arguments(data_dir, "--require-signature"))
    assert stranger.returncode == 2
    assert "not trusted" in stranger.stderr

    (tmp_path / "ours.pub").rename(trusted / "ours.pub")
    with serving(tmp_path, arguments(data_dir, "--require-signature")) as server:
        assert asked(server) == Manifest.read(stored).digest
        assert server.terminate() == 0
    assert "signed by ours.pub" in server.log.read_text()


def test_a_folder_without_a_manifest_is_named_and_not_proven(tmp_path: Path, tiny: Path) -> None:
    chosen = ["--model", str(tiny), "--served-model-name", ALIAS, "--engine", "transformers"]
    with serving(tmp_path, chosen) as server:
        assert asked(server) == Manifest.build(tiny).digest
        assert server.terminate() == 0
    assert "no manifest, so unproven" in server.log.read_text()
