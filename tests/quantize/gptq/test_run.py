"""Calibrated rounding from end to end, on a trained model that is small."""

import csv
import inspect
import json

import pytest
import torch

from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from models.trust.manifest import Manifest
from models.trust.verify import verify
from quantize.__main__ import main
from quantize.gptq import compensation
from quantize.gptq.calibration_source import source_mark
from quantize.gptq.run import Inputs
from quantize.measuring.texts import built_in
from quantize.plan.scheme_plan import QuantOptions
from quantize.protocol import Method
from quantize.write.run import Quantisation
from tests.small_model import train

CODE = [text for text in built_in() if text.name == "code"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "csv.txt"
    file.write_text(inspect.getsource(csv)[:8000])
    return file


def work(target, method=None, calibrate=None) -> Quantisation:
    return Quantisation(
        source=store.load_folder(train.WEIGHTS, name="small"),
        options=QuantOptions(scheme=QuantScheme.INT4, method=method),
        target=target,
        data_dir=target.parent / "data",
        progress=Progress(Silent()),
        texts=CODE,
        calibrate=calibrate,
    )


def test_the_model_keeps_more_than_without_a_text(tmp_path, text):
    plain = work(tmp_path / "plain").run()
    made = work(tmp_path / "made", Method.GPTQ, str(text)).run()
    assert made.quality.kl_mean < 0.9 * plain.quality.kl_mean
    assert verify(made.path).is_ok
    assert store.load_folder(made.path, name="made").scheme is QuantScheme.INT4
    manifest = Manifest.read(made.path)
    assert manifest.tools["quantise"].split()[1:2] == ["gptq"]
    assert manifest.tools["quantise"].endswith(source_mark(str(text)))
    assert manifest.tools["calibrated-on"].startswith("sha256:")
    # The same again is there; by another text it would not be the same.
    assert work(tmp_path / "made", Method.GPTQ, str(text)).run().report is None
    config = json.loads((made.path / "config.json").read_text())
    assert config == json.loads((plain.path / "config.json").read_text())


def test_a_run_that_ended_while_calibrating_begins_anew(tmp_path, text, monkeypatch):
    wanted = work(tmp_path / "made", Method.GPTQ, str(text)).run().digest

    def stop(*_):
        raise KeyboardInterrupt

    target = tmp_path / "again"
    with monkeypatch.context() as patch:
        patch.setattr("quantize.gptq.run.compensation.rounded", stop)
        with pytest.raises(KeyboardInterrupt):
            work(target, Method.GPTQ, str(text)).run()
    assert not target.exists()
    assert work(target, Method.GPTQ, str(text)).run().digest == wanted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheme", "nf4", "--calibrate", "self"], "for int8 and int4"),
        (["--scheme", "int4", "--calibrate", "self", "--method", "rtn"], "leave --method out"),
        (["--scheme", "int4", "--calibrate", "absent.txt"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path, capsys, words, said):
    assert main(["demo", *words, "--data-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_the_factor_of_inputs_is_kept_for_siblings_and_no_longer(monkeypatch):
    monkeypatch.setattr("quantize.gptq.run._ROWS", 7)
    inputs_seen, inputs = Inputs(), torch.randn(20, 32)
    factor = inputs_seen.factor(inputs, 32)
    assert inputs_seen.factor(inputs, 32) is factor
    whole = compensation.factor(inputs.T @ inputs, 32)
    assert torch.equal(factor.order, whole.order)
    torch.testing.assert_close(factor.upper, whole.upper, rtol=1e-3, atol=1e-5)
    assert inputs_seen.factor(inputs.clone(), 32) is not factor
