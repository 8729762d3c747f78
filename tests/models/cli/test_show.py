"""`show`: one model, and whether it could be served."""

from __future__ import annotations

import dataclasses
import json

from models.__main__ import main
from models.refs import ModelRef
from models.trust.manifest import QUANTISED_FROM, Manifest
from tests.models.folders import whole
from tests.models.test_quality import QUALITY
from tests.serve.pipeline.prefix.test_folders import folder_of


def test_show_a_model_that_is_here(tmp_path, capsys):
    path = whole(tmp_path / "models" / "qwen2-0.5b")
    assert main(["show", "qwen2-0.5b", "--json", "--data-dir", str(tmp_path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == str(path.resolve())
    assert facts["scheme"] == "none"
    assert facts["present"]


def test_list_and_show_name_the_bytes_and_the_commit(tmp_path, capsys):
    path = whole(tmp_path / "models" / "our-tune")
    ref = ModelRef(repo="acme/tiny", revision="a" * 40)
    manifest = Manifest.build(path, source=ref)
    manifest.write(path)
    assert main(["show", "our-tune", "--json", "--data-dir", str(tmp_path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["digest"], facts["commit"]) == (manifest.digest, "a" * 40)
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    rows = {row["alias"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["our-tune"]["digest"], rows["our-tune"]["commit"]) == (manifest.digest, "a" * 40)
    assert rows["qwen2-7b"]["digest"] is None


def test_list_and_show_know_what_a_quantised_model_was_made_from(tmp_path, capsys):
    groups = {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}
    config = {"quant_method": "compressed-tensors", "config_groups": groups}
    path = whole(tmp_path / "models" / "our-tune--int4", quantization_config=config)
    Manifest.build(path, tools={QUANTISED_FROM: "sha256:" + "1" * 64}).write(path)
    assert main(["show", "our-tune--int4", "--json", "--data-dir", str(tmp_path)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert main(["list", "--json", "--data-dir", str(tmp_path)]) == 0
    rows = {row["alias"]: row for row in json.loads(capsys.readouterr().out)}
    for facts in (shown, rows["our-tune--int4"]):
        assert facts["scheme"] == "int4"
        assert facts["quantised_from"] == "sha256:" + "1" * 64
    assert rows["qwen2-7b"]["scheme"] is None
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert "(int4)" in capsys.readouterr().out


def test_show_tells_what_quantising_cost(tmp_path, capsys):
    path = whole(tmp_path / "models" / "our-tune--int8")
    dataclasses.replace(Manifest.build(path), quality=QUALITY).write(path)
    words = ["show", "our-tune--int8", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    assert f"measured  {QUALITY.line}" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == QUALITY.to_json()


def test_show_a_known_model_that_is_not_here_says_how_to_place_it(tmp_path, capsys):
    assert main(["show", "qwen3-4b", "--data-dir", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "4,022,468,096" in out
    assert "python -m models pull qwen3-4b" in out
    assert main(["show", "qwen3-4b", "--json", "--data-dir", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["present"] is False


def test_show_a_refused_folder(tmp_path, capsys):
    path = whole(tmp_path / "m")
    (path / "x.py").touch()
    assert main(["show", str(path)]) == 2
    assert "x.py (code)" in capsys.readouterr().err


def test_show_an_unknown_name(tmp_path, capsys):
    assert main(["show", "qwen3-4", "--data-dir", str(tmp_path)]) == 2
    assert "Did you mean qwen3-4b" in capsys.readouterr().err


def test_show_in_words_writes_numbers_and_truths_for_people(tmp_path, capsys):
    whole(tmp_path / "models" / "our-tune")
    assert main(["show", "our-tune", "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "         present  yes" in out
    assert "digest" not in out  # nothing is known of it, so nothing is said


def test_show_says_whether_the_chat_template_is_append_only(tmp_path, capsys):
    folder_of(whole(tmp_path / "models" / "our-tune"), "qwq")
    words = ["show", "our-tune", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    line = "chat and tools no: the reasoning of earlier turns is left out"
    assert f"append only  {line}" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["append_only"]
    assert (told["line"], told["is_whole"]) == (line, False)
    assert set(told["reasons"]) == {"chat", "tools"}
