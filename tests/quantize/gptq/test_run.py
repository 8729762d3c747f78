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
from quantize.errors import OptionError
from quantize.gptq import own_text, samples
from quantize.gptq.calibration_source import memory_bytes, source_mark
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


def test_what_is_measured_with_is_nothing_to_calibrate_on(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("Some lines.\n" + CODE[0].content)
    with pytest.raises(OptionError, match="'code'"):
        samples.take(train.WEIGHTS, str(file))


def test_the_model_writes_its_own_text(monkeypatch):
    monkeypatch.setattr(own_text, "OPENINGS", own_text.OPENINGS[2:6])
    monkeypatch.setattr(own_text, "NEW_TOKENS", 8)
    taken = samples.take(train.WEIGHTS, "self")
    assert "itself" in taken.name
    assert taken.tokens.dtype is torch.int64
    assert samples.take(train.WEIGHTS, "self").sha256 == taken.sha256


def test_memory_grows_with_the_text_and_the_widest_layer(tmp_path):
    plan, _ = work(tmp_path / "x", Method.GPTQ, "self").plan()
    assert plan.peak_memory_bytes == memory_bytes(plan, "self") > memory_bytes(plan, "x.txt") / 2


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
