"""The banner and its copyable command, the printed settings, and the bars of a start."""

from __future__ import annotations

import io
import json
import resource
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from models.refs import Artifact, QuantScheme
from serve.bootstrap import Ready
from serve.cli.main import main
from serve.cli.serve_command import _count, _dialect, _prefixes, _quality, as_toml, banner
from serve.config_sources import load_config
from serve.engine.fake import FakeEngine
from serve.pipeline.model_dialects.dialect import NO_DIALECT, ModelDialect, ReasoningSyntax
from serve.pipeline.model_dialects.table import DIALECTS
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


THINKS = ReasoningSyntax(open="<think>", close="</think>")


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        (DIALECTS["hermes"], "reasoning and tool calls, the known dialect hermes"),
        (
            ModelDialect(name="template", source="derived", calls=DIALECTS["hermes"].calls),
            "tool calls, derived from its chat template",
        ),
        (
            ModelDialect(name="any", source="response_template", reasoning=THINKS),
            "reasoning, by its response_template",
        ),
    ],
)
def test_the_banner_says_what_is_read_and_where_it_was_found(
    dialect: ModelDialect, line: str
) -> None:
    assert _dialect(dialect) == {"dialect": line}


@pytest.mark.parametrize(("has_key", "said"), [(True, "encrypted"), (False, "readable for who")])
def test_the_banner_says_what_was_loaded_and_who_could_read_it(*, has_key: bool, said: str) -> None:
    ready = SimpleNamespace(
        prefix_cache_dir=Path("/cache"),
        has_prefix_key=has_key,
        engine=SimpleNamespace(info=replace(FakeEngine().info, loaded_prefix_tokens=6016)),
    )
    line = _prefixes(ready)["prefixes"]  # type: ignore[arg-type]
    assert line.startswith("6,016 tokens loaded from /cache")
    assert said in line


def test_a_model_that_writes_content_alone_has_no_such_line() -> None:
    assert _dialect(NO_DIALECT) == {}


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
        dialect=DIALECTS["llama_json"],
        arm=None,
        needs_key=True,
        has_page=route == "completions",
    )
    file = io.StringIO()
    Console(file=file, width=80).print(banner(ready), crop=False)
    panel, _, command = file.getvalue().partition("\ncurl ")
    words = shlex.split(command)
    assert words[0] == f"http://127.0.0.1:8000/v1/{route}"
    assert set(json.loads(words[-1])) == {"model", field}
    assert ("in a browser" in panel) == (route == "completions")
    assert "tool calls, the known dialect llama_json" in panel
    assert "a" * 64 in "".join(line.strip("│ ") for line in panel.splitlines())


def test_print_config_prints_what_config_reads(tmp_path: Path) -> None:
    config = load_config({"port": "9", "served_model_name": ("x",)}, env={})
    file = tmp_path / "printed.toml"
    file.write_text(as_toml(config))
    assert tomllib.loads(file.read_text())["port"] == 9
    assert load_config({}, file=file, env={}) == config


@pytest.mark.parametrize("given", [{}, {"max_num_seqs": 7}, {"max_num_batched_tokens": "7"}])
def test_what_engine_and_device_choose_is_printed_as_auto(
    given: dict[str, object], tmp_path: Path
) -> None:
    config = load_config(given, env={})
    file = tmp_path / "printed.toml"
    file.write_text(as_toml(config))
    printed = tomllib.loads(file.read_text())
    for name in ("max_num_seqs", "max_num_batched_tokens"):
        assert printed[name] == (7 if name in given else "auto")
    assert load_config({}, file=file, env={}) == config


def test_settings_that_are_not_set_are_shown_as_comments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--print-config", "--port", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "port = 9" in lines
    assert "# api_key_file =" in lines
    assert 'model = "demo"' in lines


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0.0 M"), (5_773_568, "5.8 M"), (999_949_999, "999.9 M"), (7_615_616_512, "7.6 B")],
)
def test_parameters_are_counted_for_people(number: int, text: str) -> None:
    assert _count(number) == text


def test_a_process_with_too_few_descriptors_does_not_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (63, before[1]))
    try:
        assert main(["--engine", "fake", "--host", "192.0.2.1"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert capsys.readouterr().err.startswith("error: this process may open 63 files at a time")
