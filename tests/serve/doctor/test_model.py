from __future__ import annotations

from pathlib import Path

from models.trust import keys
from models.trust.manifest import Manifest
from serve.doctor import model
from tests.serve.doctor.machines import machine, with_gpu
from tests.tiny_models import write_tiny_model


def test_the_demo_model_fits_and_is_proven(tmp_path: Path) -> None:
    assert model.fit(machine(tmp_path)).level == "ok"
    assert model.verified(machine(tmp_path)).level == "ok"


def test_what_does_not_fit_is_said_with_what_would_help(tmp_path: Path) -> None:
    found = model.fit(machine(tmp_path, model="qwen2.5-32b"))
    assert found.level == "failure"
    assert "on the CPU, of 32.8 GB" in found.summary
    assert "--quant" in found.advice


def test_a_gpu_is_reckoned_with_where_there_is_one(tmp_path: Path) -> None:
    assert "on a GPU, of 85.5 GB" in model.fit(with_gpu(tmp_path, model="qwen2.5-7b")).summary
    small = model.fit(with_gpu(tmp_path, mib=18_000, model="qwen2.5-7b"))
    assert small.level == "warning"
    assert "--max-model-len" in small.advice
    assert "on the CPU" in model.fit(with_gpu(tmp_path, model="demo", device="cpu")).summary


def test_a_context_beyond_the_models_is_a_failure(tmp_path: Path) -> None:
    assert model.fit(machine(tmp_path, max_model_len=1_000_000)).level == "failure"


def test_a_model_that_is_not_here_is_a_failure_offline(tmp_path: Path) -> None:
    found = model.verified(machine(tmp_path, model="qwen2.5-7b"))
    assert found.level == "warning"
    assert "models pull qwen2.5-7b" in found.advice
    assert model.verified(machine(tmp_path, model="qwen2.5-7b", offline=True)).level == "failure"
    assert model.verified(machine(tmp_path, model="/no/such")).level == "failure"
    assert model.fit(machine(tmp_path, model="/no/such")).level == "skipped"


def test_bytes_that_are_not_the_manifests_are_a_failure(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    asked = machine(tmp_path, model=str(folder))
    assert "no manifest" in model.verified(asked).summary
    Manifest.build(folder).write(folder)
    assert model.verified(asked).level == "ok"
    weights = folder / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    found = model.verified(asked)
    assert found.level == "failure"
    assert "model.safetensors" in found.summary
    assert model.verified(machine(tmp_path, model=str(folder), verify="off")).level == "warning"


def test_where_no_key_is_trusted_the_model_is_not_what_is_wrong(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    Manifest.build(folder).write(folder)
    (tmp_path / "trust").mkdir()
    asked = machine(
        tmp_path, model=str(folder), require_signature=True, trusted_keys=tmp_path / "trust"
    )
    found = model.verified(asked)
    assert found.level == "failure"
    assert "no trusted key" in found.summary
    assert "--trusted-keys" in found.advice
    assert "Serve nothing" not in found.advice
    keys.generate(tmp_path / "trust" / "signer.pem")
    (tmp_path / "trust" / "signer.pem").unlink()
    unsigned = model.verified(asked)
    assert unsigned.level == "failure"
    assert "Serve nothing of it" in unsigned.advice


def test_a_name_of_nothing_is_no_broken_model(tmp_path: Path) -> None:
    found = model.verified(machine(tmp_path, model="/no/such"))
    assert found.level == "failure"
    assert "--model" in found.advice
    assert "Serve nothing" not in found.advice


def test_a_budget_is_reckoned_as_what_fits_into_it(tmp_path: Path) -> None:
    for quant, said in (
        ("auto:16GB", "(none)"),
        ("auto:9GB", "(int8)"),
        ("auto:6GB", "(int4)"),
    ):
        assert said in model.fit(machine(tmp_path, model="qwen2.5-7b", quant=quant)).summary
