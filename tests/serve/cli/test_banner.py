"""The banner: its line of quality, and a command that can be copied."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from models.refs import Artifact, QuantScheme
from serve.bootstrap import Ready
from serve.cli.serve_command import _quality, banner
from serve.engine.fake import FakeEngine
from serve.provenance.proof import Mode, Proof
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


@pytest.mark.parametrize(
    ("has_template", "route", "field"),
    [(True, "chat/completions", "messages"), (False, "completions", "prompt")],
)
def test_the_command_is_whole_and_asks_what_the_model_takes(
    has_template: bool, route: str, field: str
) -> None:
    name = "a-model-with-a-name-that-is-longer-than-half-of-a-line"
    ready = Ready(
        artifact=Artifact(name=name, path=Path(name)),
        proof=Proof(digest="sha256:" + "a" * 64, mode=Mode.FULL),
        standing=Standing(scheme=QuantScheme.NONE),
        engine=FakeEngine(),
        engine_reason="asked for",
        url="http://127.0.0.1:8000",
        names=(name,),
        has_template=has_template,
        arm=None,
        needs_key=True,
    )
    file = io.StringIO()
    Console(file=file, width=80).print(banner(ready), crop=False)
    panel, _, command = file.getvalue().partition("\ncurl ")
    words = shlex.split(command)
    assert words[0] == f"http://127.0.0.1:8000/v1/{route}"
    assert set(json.loads(words[-1])) == {"model", field}
    assert "a" * 64 in "".join(line.strip("│ ") for line in panel.splitlines())
