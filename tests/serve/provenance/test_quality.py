"""What is known of quantised weights, and what a start makes of it."""

import dataclasses
from pathlib import Path

import pytest

from models.refs import Artifact, QuantScheme
from models.trust.manifest import Manifest
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.provenance.quality import standing
from tests.models.folders import whole
from tests.models.test_quality import QUALITY

GOOD = dataclasses.replace(QUALITY, kl_mean=0.001, top1=0.98)
BAD = dataclasses.replace(QUALITY, kl_mean=0.2, top1=0.7)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.build(whole(tmp_path / "m"))


def artifact(scheme: QuantScheme = QuantScheme.INT4, name: str = "qwen--int4") -> Artifact:
    return Artifact(name=name, path=Path("/models") / name, scheme=scheme)


def test_what_was_measured_is_one_line(manifest):
    found = standing(artifact(), dataclasses.replace(manifest, quality=GOOD), "gate")
    assert found.line == GOOD.line
    assert found.complaint is None


def test_what_nobody_measured_is_said_with_the_command_that_does(manifest):
    for known in (manifest, None):
        found = standing(artifact(), known, None)
        assert "NOT KNOWN" in found.line
        assert "python -m quantize.measuring qwen qwen--int4" in found.line


def test_a_name_that_does_not_tell_the_full_one_leaves_that_open():
    assert "quantize.measuring FULL mine" in standing(artifact(name="mine"), None, None).line


def test_too_much_is_said_loudly_with_what_is_better(manifest):
    found = standing(artifact(), dataclasses.replace(manifest, quality=BAD), None)
    assert found.complaint.startswith("TOO MUCH for int4: mean KL divergence 0.2 is not below")
    assert "Better: int8, 530.0 MB of weights (--quant int8)" in found.complaint


@pytest.mark.parametrize(
    ("least", "quality", "said"),
    [
        ("gate", BAD, "TOO MUCH for int4"),
        ("0.1", BAD, "mean KL divergence of qwen--int4 is 0.2"),
        ("gate", None, "NOT KNOWN"),
        ("0.1", None, "python -m quantize.measuring qwen qwen--int4"),
    ],
)
def test_less_than_the_least_ends_the_start(manifest, least, quality, said):
    with pytest.raises(StartupError, match=f"--min-quality {least}") as caught:
        standing(artifact(), dataclasses.replace(manifest, quality=quality), least)
    assert said in str(caught.value)


@pytest.mark.parametrize("least", [None, "gate", "0.001", "1e-2"])
def test_enough_is_enough(manifest, least):
    found = standing(artifact(), dataclasses.replace(manifest, quality=GOOD), least)
    assert found.quality == GOOD


def test_full_weights_lost_nothing():
    found = standing(artifact(QuantScheme.NONE, "qwen"), None, "gate")
    assert (found.line, found.complaint) == (None, None)


@pytest.mark.parametrize("text", ["gate", "0.01", ".5", "1e-3"])
def test_the_setting_names_a_gate_or_a_number(text):
    assert load_config({"min_quality": text}, env={}).min_quality == text


@pytest.mark.parametrize("text", ["high", "-1", "inf", "0.1.2", ""])
def test_anything_else_is_refused(text):
    with pytest.raises(StartupError, match="--min-quality"):
        load_config({"min_quality": text}, env={})
