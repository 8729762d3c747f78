"""The banner's line of quality."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from serve.cli.serve_command import _quality
from serve.provenance.quality import Standing
from tests.models.test_quality import QUALITY


def test_measured_weights_have_one_line() -> None:
    line = _quality(Standing(scheme=QuantScheme.INT8, quality=QUALITY))["quality"]
    assert str(line) == QUALITY.line
    assert not line.style


@pytest.mark.parametrize(
    "standing",
    [
        Standing(
            scheme=QuantScheme.INT8, remedy="To find out: python -m quantize.measuring m m--int8"
        ),
        Standing(scheme=QuantScheme.INT8, quality=QUALITY, complaint="TOO MUCH for int8: …"),
    ],
)
def test_what_is_unknown_or_too_much_is_loud(standing: Standing) -> None:
    line = _quality(standing)["quality"]
    styles = [str(line.style), *(str(span.style) for span in line.spans)]
    assert "bold red" in styles
    assert "quantize.measuring m m--int8" in str(line) or "TOO MUCH" in str(line)


def test_full_weights_have_none() -> None:
    assert _quality(Standing(scheme=QuantScheme.NONE)) == {}
