"""The main job on real models, from a hub to answers, with every scheme that an engine runs.

For `make prove` alone: it fetches 0.8 GB, and takes an hour. REAL_MODELS=FOLDER has them already.
Each server is asked by ``benchmarks.trial``, as `python -m benchmarks trial` does with a user's own
model; its table, speed among it, is printed (`pytest -s`).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.trial import command, serving, table
from benchmarks.trial.findings import Findings, Outcome, judged
from benchmarks.trial.serving import ServerOptions
from models.trust.manifest import Manifest
from tests.e2e.server import REPOSITORY, environment
from tests.hub.emulator import Hub
from tests.real.fetch import FetchError, folder_of
from tests.real.models import MODELS, RealModel

WHY_NOT = "real models are fetched (0.8 GB) and served for an hour: `make prove` alone"
ENGINES = {
    "transformers": ("int8", "int4", "int8-weight-only", "int8-w8a8", "nf4", "bnb-int8"),
    "vllm": ("int8", "int4", "int8-w8a8"),
}
"""Their schemes on a CPU, beside the full weights."""
VLLM = ["--enforce-eager", "--max-num-seqs", "4", "--kv-cache-tokens", "16384"]
LENGTH = ["--max-model-len", "8192"]
LONG, SHORT = 6000, 1000
"""Tokens of the long prompt: with the schemes that people take, and with the others."""
DEFAULTS = ("none", "int8", "int4")
START_TIMEOUT_S = 1800.0
PULL_TIMEOUT_S = 600


@dataclass
class Job:
    """One model in a store of its own.

    Attributes:
        full: what was found of the full weights, by engine.
    """

    model: RealModel
    data_dir: Path
    logs: Path
    full: dict[str, Findings] = field(default_factory=dict)

    @property
    def stored(self) -> Path:
        return self.data_dir / "models" / self.model.stored_as

    def served(self, engine: str, scheme: str) -> Findings:
        """A server of it, asked everything."""
        options = ServerOptions(
            model=self.model.stored_as,
            engine=engine,
            scheme=scheme,
            data_dir=self.data_dir,
            logs=self.logs,
            more=["--offline", *LENGTH, *(VLLM if engine == "vllm" else [])],
            start_timeout_s=START_TIMEOUT_S,
        )
        with serving.started(options, lambda phase: print(f"{self.model} {scheme}: {phase}")) as up:
            long_tokens = LONG if scheme in DEFAULTS else SHORT
            found = command.examine(up.url, engine, scheme, long_tokens)
        figures = {"start_s": up.start_s, **found.figures}
        return judged(replace(found, figures=figures), self.full.get(engine))

    def served_in_full(self, engine: str) -> Findings:
        """The full weights' server, asked once."""
        if engine not in self.full:
            self.full[engine] = self.served(engine, "none")
        return self.full[engine]


@pytest.fixture(scope="module", params=MODELS, ids=str)
def job(
    request: pytest.FixtureRequest,
    is_proving: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> Job:
    """The model, pulled from a hub as a user pulls it."""
    if not is_proving:
        pytest.skip(WHY_NOT)
    model: RealModel = request.param
    try:
        folder = folder_of(model)
    except FetchError as error:
        pytest.skip(f"{model} could not be fetched: {error}")
    data_dir = tmp_path_factory.mktemp("data")
    with Hub() as hub:
        hub.add(model.repo, folder)
        printed = run("pull", model.repo, data_dir, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    done = json.loads(printed.splitlines()[-1])
    assert (done["event"], done["outcome"]) == ("done", "pulled")
    return Job(model, data_dir, tmp_path_factory.mktemp("logs"))


def run(command_: str, model: str, data_dir: Path, **variables: str) -> str:
    """What `python -m models COMMAND MODEL --json` prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "models", command_, model, "--data-dir", str(data_dir), "--json"],
        cwd=REPOSITORY,
        env=environment(NO_PROXY="*", **variables),
        capture_output=True,
        text=True,
        timeout=PULL_TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def shown() -> Callable[[Findings], None]:
    """Prints what was found, for whoever reads the run."""

    def show(found: Findings) -> None:
        console = Console(width=120)
        console.print(table.table(found.scheme, [found]))
        for note in table.notes([found]):
            console.print(note, highlight=False, markup=False)

    return show


def test_it_is_proven_as_it_was_pulled(job: Job) -> None:
    digest = Manifest.read(job.stored).digest
    pins = json.loads((job.data_dir / "models.lock").read_text())["models"]
    assert pins[job.model.stored_as]["digest"] == digest
    assert pins[job.model.stored_as]["repo"] == job.model.repo
    assert json.loads(run("verify", job.model.stored_as, job.data_dir))["ok"]


@pytest.mark.parametrize("engine", ENGINES)
def test_full_weights(job: Job, engine: str, shown: Callable[[Findings], None]) -> None:
    needs(engine)
    found = job.served_in_full(engine)
    shown(found)
    assert found.is_right, list(table.notes([found]))
    assert found.card["digest"] == Manifest.read(job.stored).digest
    outcomes = {check.name: check.outcome for check in found.checks}
    assert {name for name in job.model.knows if outcomes[name] is not Outcome.OK} == set()
    details = {check.name: check.detail for check in found.checks}
    assert ("takes messages" in details["template"]) is job.model.has_template
    assert ("/v1/completions" in details["template"]) is not job.model.has_template
    assert ("of tools in the prompt" in details["tools"]) is job.model.has_tools


@pytest.mark.parametrize(
    ("engine", "scheme"), [(engine, scheme) for engine in ENGINES for scheme in ENGINES[engine]]
)
def test_quantised(job: Job, engine: str, scheme: str, shown: Callable[[Findings], None]) -> None:
    needs(engine)
    job.served_in_full(engine)
    found = job.served(engine, scheme)
    shown(found)
    faults = {check.name for check in found.checks if check.outcome is Outcome.FAULT}
    if scheme in job.model.too_small_for:
        assert faults <= {"quality"}, list(table.notes([found]))
    else:
        assert found.is_right, list(table.notes([found]))
    made = Manifest.read(job.stored.with_name(f"{job.stored.name}--{scheme}"))
    assert found.card["digest"] == made.digest
    assert found.card["quality"] is not None


def needs(engine: str) -> None:
    """Skip what is not installed."""
    if engine == "vllm" and importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
