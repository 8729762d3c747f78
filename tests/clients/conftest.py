"""Servers for the clients: the demo model, and a real one on each engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.served import Served
from tests.e2e.server import serving
from tests.real.fetch import FetchError, folder_of
from tests.real.models import MODELS

WHY_NOT = "a real model, and clients from the package registry: `make prove` alone"
(TOOLED,) = [model for model in MODELS if model.has_tools]
LENGTH = ["--max-model-len", "8192"]
ENGINES = {
    "transformers": [],
    "vllm": ["--enforce-eager", "--max-num-seqs", "8", "--kv-cache-tokens", "32768"],
}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo model: for every run."""
    with serving(tmp_path_factory.mktemp("demo"), ["--model", "demo"]) as running:
        yield Served(running.url, "demo")


@pytest.fixture(scope="session")
def tooled_folder(is_proving: bool) -> Path:
    """The folder of a real model that knows tools."""
    if not is_proving:
        pytest.skip(WHY_NOT)
    try:
        return folder_of(TOOLED)
    except FetchError as error:
        pytest.skip(f"{TOOLED} could not be fetched: {error}")


@pytest.fixture(scope="session", params=ENGINES)
def real(
    request: pytest.FixtureRequest,
    tooled_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """A real model that knows tools, on each engine. Skips where it is not proven."""
    engine: str = request.param
    if engine == "vllm" and importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    arguments = ["--model", str(tooled_folder), "--served-model-name", TOOLED.name]
    options = ["--engine", engine, *LENGTH, *ENGINES[engine]]
    with serving(tmp_path_factory.mktemp(engine), [*arguments, *options]) as running:
        yield Served(running.url, TOOLED.name, {"TOKENIZER": str(tooled_folder)})
