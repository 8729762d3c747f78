"""`list`: what the catalog knows, what is here, and what would fit this machine."""

from __future__ import annotations

import json
import subprocess
import sys

from models.__main__ import main
from models.cli import listing
from models.cli.listing import rows
from models.memory.fit import Place
from models.memory.this_machine import Room
from tests.models.folders import whole

GB = 10**9


def test_list_as_json_has_the_catalog_and_what_is_here(tmp_path, capsys):
    whole(tmp_path / "models" / "qwen2-0.5b")
    whole(tmp_path / "models" / "our-tune")
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    rows = {row["alias"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["qwen2-0.5b"]["present"]
    assert rows["qwen2-0.5b"]["size_bytes"] > 0
    assert rows["our-tune"]["present"]
    assert not rows["qwen2-7b"]["present"]
    assert rows["qwen2-7b"]["size_bytes"] is None
    assert rows["qwen2-7b"]["repo"] == "Qwen/Qwen2-7B-Instruct"


def test_list_as_a_table(tmp_path, capsys):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert "qwen2.5-32b" in capsys.readouterr().out


def test_the_list_in_a_pipe_has_names_that_can_be_looked_for(tmp_path, capsys):
    name = "an-owner--a-model-with-a-long-name-Instruct--int8"
    whole(tmp_path / "models" / name)
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert name in capsys.readouterr().out
    assert main(["list", "--long", "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert name in out
    assert "HuggingFaceTB/SmolLM2-1.7B-Instruct" in out
    assert "1.00 B" in out  # gemma3-1b, of 999,885,952


def test_the_built_in_model_is_listed_from_this_installation(tmp_path):
    (demo,) = (row for row in rows(tmp_path) if row["alias"] == "demo")
    assert demo["present"]
    assert demo["path"].endswith("models/demo/weights")
    whole(tmp_path / "models" / "demo")  # cannot take its place
    assert [row["path"] for row in rows(tmp_path) if row["alias"] == "demo"] == [demo["path"]]


def test_a_folder_that_is_not_whole_is_listed_without_a_scheme(tmp_path):
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (row,) = (row for row in rows(tmp_path) if row["alias"] == "broken")
    assert (row["present"], row["size_bytes"], row["scheme"]) == (True, 0, None)
    assert row["digest"] is None


def test_the_list_fits_80_columns(tmp_path, capsys):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("python -m models pull NAME" in line for line in lines)


def test_the_list_says_what_fits_at_which_quant(tmp_path, capsys, monkeypatch):
    room = Room(place=Place.CPU, num_bytes=12 * GB)
    monkeypatch.setattr(listing.this_machine, "room", lambda: room)
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    found = {row["alias"]: row["fit"] for row in json.loads(capsys.readouterr().out)}
    assert found["qwen2.5-7b"]["memory_bytes"] == 12 * GB
    answers = {
        alias: [verdict["answer"] for verdict in row["schemes"].values()]
        for alias, row in found.items()
    }
    assert answers["qwen2.5-0.5b"] == ["yes", "yes", "yes"]
    assert answers["qwen2.5-7b"] == ["no", "short", "yes"]
    assert answers["qwen2.5-32b"] == ["no", "no", "no"]
    assert list(found["qwen2.5-7b"]["schemes"]) == ["none", "int8", "int4"]
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.split()[:1] == ["qwen2.5-7b"])
    assert line.split()[4:] == ["32,768", "no", "to", "19k", "yes"]


def test_the_list_answers_as_fit_does(tmp_path, capsys, monkeypatch):
    room = Room(place=Place.CPU, num_bytes=12 * GB)
    monkeypatch.setattr(listing.this_machine, "room", lambda: room)
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    (row,) = (r for r in json.loads(capsys.readouterr().out) if r["alias"] == "qwen2.5-7b")
    assert main(["fit", "qwen2.5-7b", "--memory", "12GB", "--json"]) == 0
    fits = {one["scheme"]: one for one in json.loads(capsys.readouterr().out)["schemes"]}
    for scheme, verdict in row["fit"]["schemes"].items():
        assert verdict["weights_bytes"] == fits[scheme]["weights_bytes"]
        assert verdict["longest_context"] == fits[scheme]["fits"][0]["longest_context"]


def test_a_quantised_folder_is_listed_as_it_is_alone(tmp_path):
    groups = {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}
    config = {"quant_method": "compressed-tensors", "config_groups": groups}
    sizes = rows(tmp_path)[1]
    assert sizes["fit"] is None  # nobody said which memory
    shape = listing.shapes.published()["qwen2.5-0.5b"]
    whole(tmp_path / "models" / "ours--int4", **shape, quantization_config=config)
    (row,) = (
        row
        for row in rows(tmp_path, Room(place=Place.GPU, num_bytes=24 * GB))
        if row["alias"] == "ours--int4"
    )
    assert list(row["fit"]["schemes"]) == ["int4"]
    # The stored bytes, not the computed ones.
    assert row["fit"]["schemes"]["int4"]["weights_bytes"] < 1000


def test_the_list_imports_no_torch(tmp_path):
    code = (
        "import sys; from models.__main__ import main; "
        f"main(['list', '--data-dir', {str(tmp_path)!r}]); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
