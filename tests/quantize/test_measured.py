"""Measuring as a step of quantising: what stands in the manifest, and when nothing does."""

import dataclasses

import pytest
from safetensors.torch import load_file

from models.memory import host_memory
from models.progress import Progress
from models.refs import QuantScheme
from models.trust.manifest import SIGNATURE, Manifest
from quantize import measured
from quantize.errors import QuantizeError
from quantize.measured import Subject, better_of
from quantize.measuring.measure import Measurement
from tests.models.folders import listed
from tests.models.test_quality import QUALITY
from tests.quantize.measured_models import STORY, Notices, quantised
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(
        tmp_path_factory.mktemp("tiny") / "tiny", dtype="bfloat16", initializer_range=0.05
    )


@pytest.mark.parametrize("scheme", [QuantScheme.INT8, QuantScheme.INT4, QuantScheme.INT8_W8A8])
def test_it_stands_in_the_manifest(tiny, tmp_path, scheme):
    made = quantised(tiny, tmp_path / "made", scheme)
    assert made.quality == Manifest.read(made.path).quality
    assert 0 < made.quality.kl_mean < 1
    full = sum(tensor.numel() for tensor in load_file(tiny / "model.safetensors").values())
    assert made.quality.num_weights == full
    better = QuantScheme.NONE if scheme is QuantScheme.INT8 else QuantScheme.INT8
    assert made.quality.better.scheme == better


def test_what_was_made_unmeasured_is_measured_later(tiny, tmp_path):
    first = quantised(tiny, tmp_path / "made", texts=())
    assert first.quality is None
    assert Manifest.read(first.path).quality is None
    second = quantised(tiny, tmp_path / "made")
    assert second.report is None
    assert second.digest == first.digest
    assert Manifest.read(first.path).quality == second.quality is not None


def test_the_same_texts_are_measured_once(tiny, tmp_path, monkeypatch):
    first = quantised(tiny, tmp_path / "made")
    monkeypatch.setattr(Measurement, "run", lambda *_: pytest.fail("measured again"))
    assert quantised(tiny, tmp_path / "made").quality == first.quality
    assert quantised(tiny, tmp_path / "made", texts=()).quality == first.quality


def test_the_manifest_of_a_signed_model_stays(tiny, tmp_path):
    made = quantised(tiny, tmp_path / "made", texts=())
    (made.path / SIGNATURE).write_text("{}")
    before = (made.path / "manifest.json").read_bytes()
    view = Notices()
    assert quantised(tiny, tmp_path / "made", view=view).quality is None
    assert (made.path / "manifest.json").read_bytes() == before
    assert "is signed" in view.texts[0]


def test_a_model_that_cannot_be_measured_is_made_all_the_same(tiny, tmp_path):
    full = write_tiny_model(tmp_path / "tiny", dtype="bfloat16", num_hidden_layers=1)
    (full / "tokenizer.json").write_text("{}")
    view = Notices()
    made = quantised(full, tmp_path / "made", view=view)
    assert made.quality is None
    assert "the quality is not known" in view.texts[-1]
    assert made.path.is_dir()


def test_full_weights_are_better_than_int8_and_int8_than_all_else(tiny):
    size = (tiny / "model.safetensors").stat().st_size
    full, eight = (better_of(tiny, scheme) for scheme in (QuantScheme.INT8, QuantScheme.NF4))
    assert (full.scheme, eight.scheme) == ("none", "int8")
    assert eight.bytes < full.bytes < size
    assert better_of(tiny, QuantScheme.INT4) == eight


def test_full_weights_are_better_where_nothing_can_be_int8(tmp_path):
    assert better_of(listed(tmp_path / "m"), QuantScheme.INT4).scheme == "none"


def test_too_little_memory_is_an_error_with_both_figures(monkeypatch):
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 10**9)
    with pytest.raises(QuantizeError, match=r"takes 1\.2 GB of memory and 1\.0 GB are free"):
        measured.check_memory()
    for enough in (measured.MEMORY_BYTES, None):
        monkeypatch.setattr(host_memory, "available_bytes", lambda free=enough: free)
        measured.check_memory()


def test_a_model_that_does_not_fit_is_made_without_quality(monkeypatch):
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 1)
    view = Notices()
    subject = Subject(full=None, plan=None, quantizer=None, texts=())
    assert subject.measure(None, Progress(view)) is None
    assert view.texts == [
        "the quality is not known: measuring takes 1.2 GB of memory and 1 B are free."
    ]


def test_other_texts_are_measured_anew_and_the_digest_stays(tmp_path, monkeypatch):
    folder = listed(tmp_path / "m")
    manifest = dataclasses.replace(Manifest.read(folder), quality=QUALITY)
    other = dataclasses.replace(QUALITY, kl_mean=0.5)
    monkeypatch.setattr(Subject, "measure", lambda *_: other)
    subject = Subject(full=None, plan=None, quantizer=None, texts=(STORY,))
    found = subject.measure_present(folder, manifest, Progress(Notices()))
    assert found.quality == other == Manifest.read(folder).quality
    assert found.digest == manifest.digest
