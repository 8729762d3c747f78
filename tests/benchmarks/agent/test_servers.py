"""How servers are started: the commands, what is missing, and what llama.cpp's log tells."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.agent import servers
from benchmarks.agent.servers import Setup, System, started
from benchmarks.child import StartError
from benchmarks.compare.systems import MissingError
from benchmarks.trial.serving import Up as OurUp


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(folder=tmp_path / "m", cache_dir=tmp_path, more=["--max-num-seqs", "2"])


def test_a_server_that_is_up_is_not_started(setup):
    with started(System(name="other", url="http://h:1"), setup, print) as up:
        assert up.url == "http://h:1"
        assert up.told() is None


@pytest.mark.parametrize(
    ("name", "engine"), [("intramural", "transformers"), ("intramural-vllm", "vllm")]
)
def test_ours_is_started_with_room_for_all(setup, monkeypatch, name, engine):
    seen = []

    @contextmanager
    def serving(options, on_phase):
        seen.append(options)
        yield OurUp("http://h:2", 1.0)

    monkeypatch.setattr(servers.serving, "started", serving)
    with started(System(name=name, scheme="int8"), setup, print) as up:
        assert up.url == "http://h:2"
    command = seen[0].command(80)
    words = " ".join(command)
    assert f"--engine {engine} --quant int8" in words
    assert "--max-model-len 16384" in words
    assert "--kv-cache-tokens 40960" in words
    assert command[-2:] == ["--max-num-seqs", "2"]  # the user's own come last, and count


def test_ours_that_does_not_start_is_missing(setup, monkeypatch):
    @contextmanager
    def serving(*_: object):
        raise StartError("no room")
        yield

    monkeypatch.setattr(servers.serving, "started", serving)
    with (
        pytest.raises(MissingError, match="no room"),
        started(System(name="intramural"), setup, print),
    ):
        pass


def test_vllm_has_its_cache_and_tools(setup, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    words = " ".join(servers.vllm_command(setup, 81))
    assert "--enable-prefix-caching --enable-prompt-tokens-details" in words
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in words
    assert "--max-model-len 16384" in words
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="make setup"):
        servers.vllm_command(setup, 81)


def test_llama_has_its_cache(tmp_path):
    gguf = tmp_path / "m.gguf"
    gguf.touch()
    setup = Setup(folder=tmp_path, cache_dir=tmp_path, llama_python=Path(sys.executable), gguf=gguf)
    words = " ".join(servers.llama_command(setup, 82))
    assert f"-m llama_cpp.server --model {gguf}" in words
    assert "--n_ctx 16384" in words
    assert "--logits_all false --cache true --cache_type ram" in words


@pytest.mark.parametrize("python", [None, Path("/nowhere/python"), Path(sys.executable)])
def test_llama_needs_an_interpreter_and_a_file(tmp_path, python):
    setup = Setup(folder=tmp_path, cache_dir=tmp_path, llama_python=python, gguf=tmp_path / "no")
    with (
        pytest.raises(MissingError, match="--gguf"),
        started(System(name="llama.cpp"), setup, print),
    ):
        pass
