"""The command: for aliases that are not here, folders that are, and what it cannot know."""

from __future__ import annotations

import json

import pytest

from models.__main__ import main
from models.cli import fit as command
from tests.models.folders import safetensors, whole

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 256,
    "dtype": "bfloat16",
}


@pytest.fixture
def run(tmp_path, capsys):
    def ran(*arguments: str) -> tuple[int, str]:
        code = main(["fit", *arguments, "--data-dir", str(tmp_path)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return ran


def test_an_alias_that_is_not_here(run):
    code, said = run("qwen2.5-7b", "--gpu", "24GB", "8GB", "--quant", "int4")
    assert code == 0
    assert "7,615,616,512 parameters" in said
    assert "int4" in said
    assert "5.03 GB" in said
    assert "vLLM takes 92%" in said
    assert "fp8" not in said


def test_every_scheme_and_a_cpu(run):
    code, said = run("llama3.2-1b", "--memory", "16GB", "--concurrency", "4")
    assert code == 0
    assert all(scheme in said for scheme in ("none", "int8", "int4", "fp8", "nf4"))
    assert "longest for 4" in said
    assert "40%" in said


def test_this_machines_memory(run, monkeypatch):
    monkeypatch.setattr(command.host_memory, "available_bytes", lambda: 8 * 10**9)
    code, said = run("demo", "--memory", "--json")
    fits = json.loads(said)["schemes"][0]["fits"][0]
    assert (code, fits["memory_bytes"], fits["place"]) == (0, 8 * 10**9, "cpu")
    monkeypatch.setattr(command.host_memory, "available_bytes", lambda: None)
    code, said = run("demo", "--memory")
    assert code == 2
    assert "--memory 32GB" in said


def test_json(run):
    code, said = run(
        "Qwen/Qwen2-7B-Instruct", "--gpu", "24GiB", "--tp", "2", "--kv-cache-dtype", "fp8", "--json"
    )
    assert code == 0
    document = json.loads(said)
    assert document["num_gpus"] == 2
    first = document["schemes"][0]
    assert first["scheme"] == "none"
    assert first["kv_bytes_per_token"] == 57_344 // 4
    assert first["fits"][0]["memory_bytes"] == 24 << 30
    assert first["fits"][0]["weights_bytes"] == first["weights_bytes"]


def test_a_folder_of_ones_own(run, tmp_path):
    folder = whole(tmp_path / "m", **SIZES)
    code, said = run(str(folder), "--gpu", "2GB", "--json")
    assert code == 0
    assert json.loads(said)["schemes"][0]["context"] == 256
    (folder / "model.safetensors").unlink()  # its config.json is enough
    assert run(str(folder), "--gpu", "2GB")[0] == 0


def test_a_name_of_ones_own_in_the_store(run, tmp_path):
    whole(tmp_path / "models" / "our-tune", **SIZES)
    assert run("our-tune")[0] == 0


def test_a_repository_in_the_store_is_found_by_its_own_name(run, tmp_path):
    whole(tmp_path / "models" / "acme--tiny", **SIZES)
    assert run("acme/tiny", "--gpu", "2GB")[0] == 0


def test_a_quantised_folder_is_what_it_is(run, tmp_path):
    groups = {"g": {"weights": {"num_bits": 4, "type": "int"}, "input_activations": None}}
    quant = {"quant_method": "compressed-tensors", "config_groups": groups}
    folder = whole(tmp_path / "m", **SIZES, quantization_config=quant)
    (folder / "model.safetensors").write_bytes(safetensors(1000))
    code, said = run(str(folder), "--json")
    schemes = json.loads(said)["schemes"]
    assert code == 0
    assert [row["scheme"] for row in schemes] == ["int4"]
    assert schemes[0]["weights_bytes"] == 1000  # without the header of the file
    code, said = run(str(folder), "--quant", "int8")
    assert code == 2
    assert "stored as int4" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["qwen3-4"], "Did you mean qwen3-4b"),
        (["./nowhere"], "Give a folder"),
        (["qwen2-7b", "--context", "99999"], "more than the model's own 32768"),
        (["qwen2-7b", "--tp", "3"], "does not divide"),
        (["qwen2-7b", "--tp", "2", "--memory", "9GB"], "are for GPUs"),
        (["qwen2-7b", "--kv-cache-dtype", "fp8", "--memory", "9GB"], "are for GPUs"),
    ],
)
def test_what_cannot_be_answered(run, arguments, says):
    code, said = run(*arguments)
    assert code == 2
    assert says in said


def test_sizes_that_nobody_knows_yet(run, monkeypatch):
    monkeypatch.setattr(command.shapes, "published", dict)
    code, said = run("qwen2-7b")
    assert code == 2
    assert "not known until it is pulled" in said


def test_a_poisoned_folder_is_refused(run, tmp_path):
    folder = whole(tmp_path / "m", **SIZES, auto_map={"AutoModel": "x.X"})
    code, said = run(str(folder))
    assert code == 2
    assert "config.json (remote-code)" in said


@pytest.mark.parametrize("text", ["", "24 Gigs", "-1GB", "0GB", "1e9", "GB"])
def test_what_is_no_size(run, text, capsys):
    with pytest.raises(SystemExit):
        run("qwen2-7b", f"--gpu={text}")
    assert "is no size" in capsys.readouterr().err
