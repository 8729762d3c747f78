"""The command that measures a model that is there already."""

import shutil

import pytest

from models.refs import QuantScheme
from models.trust.manifest import QUANTISED_FROM, SIGNATURE, Manifest
from quantize import registry
from quantize.measuring import __main__ as command
from quantize.measuring.__main__ import main
from quantize.plan.scheme_plan import QuantOptions
from quantize.protocol import SchemeOptions
from tests.models.folders import whole
from tests.models.test_quality import QUALITY
from tests.quantize.measuring.test_stored import quantised
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny", dtype="bfloat16")


def test_the_command_measures_what_is_there(tiny, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("def wrap(text):\n    return text\n" * 20)
    made = quantised(tiny, tmp_path / "made", QuantOptions(scheme=QuantScheme.INT8)).path
    words = [str(tiny), str(made), "--text", str(text), "--data-dir", str(tmp_path)]
    assert main(words) == 0
    quality = Manifest.read(made).quality
    assert f"lost: KL {quality.kl_mean:.4f}" in capsys.readouterr().out
    before = (made / "manifest.json").read_bytes()
    (made / SIGNATURE).write_text("{}")
    assert main(words) == 0
    assert "is signed" in capsys.readouterr().err
    assert (made / "manifest.json").read_bytes() == before


def test_the_command_refuses_another_model(tiny, tmp_path, capsys):
    other = shutil.copytree(tiny, tmp_path / "other")
    Manifest.build(other, tools={}).write(other)
    made = quantised(tiny, tmp_path / "made", QuantOptions(scheme=QuantScheme.INT8)).path
    manifest = Manifest.read(made)
    wrong = dict(manifest.tools) | {QUANTISED_FROM: "sha256:" + "0" * 64}
    Manifest.build(made, tools=wrong).write(made)
    assert main([str(other), str(made), "--data-dir", str(tmp_path)]) == 2
    assert "was made from sha256:000" in capsys.readouterr().err


def test_a_model_that_is_not_quantised_is_2_and_says_so(tmp_path, capsys):
    full = whole(tmp_path / "full")
    words = [str(full), str(full), "--data-dir", str(tmp_path)]
    assert main(words) == 2
    assert "error: full holds nothing that is quantised" in capsys.readouterr().err


def test_a_name_that_there_is_not_is_2(tmp_path, capsys):
    assert main(["absent", "absent--int8", "--data-dir", str(tmp_path)]) == 2
    assert "absent" in capsys.readouterr().err


def test_an_interrupted_run_is_130(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command.store, "resolve", stop)
    assert main(["a", "b", "--data-dir", str(tmp_path)]) == 130


def test_without_a_manifest_the_figures_are_printed_and_not_kept(tmp_path, capsys, monkeypatch):
    full, other = whole(tmp_path / "full"), whole(tmp_path / "other")
    quantizer = registry.quantizer(QuantScheme.INT8, SchemeOptions())
    monkeypatch.setattr(command, "layers_of", lambda *_: ((), quantizer))
    monkeypatch.setattr(command, "check_memory", lambda: None)
    monkeypatch.setattr(command, "better_of", lambda *_: None)
    monkeypatch.setattr(command.Measurement, "run", lambda *_: QUALITY)
    assert main([str(full), str(other), "--data-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "other has no manifest: nothing is kept" in shown.err
    assert f"lost: {QUALITY.line}" in shown.out.replace("\n", " ")
    assert not (other / "manifest.json").exists()
