"""SIGKILL at random moments: what a power cut does to a process, but for the disk's own cache."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.errors import ModelNotFoundError
from models.store import DirectoryStore
from models.trust.manifest import Manifest
from models.trust.verify import verify
from tests.house.tree import ROOT

TIMEOUT_S = 120.0


def num_kills(config: pytest.Config, *, quick: int, prove: int) -> int:
    """How many: ``make prove`` has the time."""
    return prove if config.getoption("--hypothesis-profile") == "prove" else quick


def digest_here(data_dir: Path, name: str) -> str | None:
    """The digest of what could be loaded by that name, hashed anew; None when nothing could."""
    try:
        artifact = DirectoryStore(data_dir).find(name)
    except ModelNotFoundError:
        assert not (data_dir / "models" / name).exists()
        return None
    assert verify(artifact.path).is_ok
    return Manifest.read(artifact.path).digest


@dataclass
class Killer:
    """Runs `python -m PROGRAM ... --json` and kills it, by a seed.

    Half of the kills come at any moment of a run's usual length, half within one phase, each as
    often as any other: some take a few milliseconds only, and matter most.

    Attributes:
        usual_s: how long a run takes that nobody kills.
        phases: names that the command's progress lines have, and how long each may take.
        kills: so far, of processes that had not ended by themselves; by the last phase seen.
    """

    usual_s: float
    phases: Mapping[str, float]
    seed: int = 0
    program: str = "models"
    environment: Mapping[str, str] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def run(self, *arguments: str) -> bool:
        """Run once. Returns whether it was killed; a failure of its own is an AssertionError."""
        at_once = self._random.random() < 0.5
        phase = "" if at_once else self._random.choice(sorted(self.phases))
        wait_s = self._random.uniform(0, self.usual_s if at_once else self.phases[phase])
        process = subprocess.Popen(
            [sys.executable, "-m", self.program, *arguments, "--json"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        timer = threading.Timer(wait_s, process.kill)
        if at_once:
            timer.start()
        seen = "start"
        last_resort = threading.Timer(TIMEOUT_S, process.kill)
        last_resort.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                event = _event(line)
                seen = event.get("phase", seen)
                if not at_once and event.get("phase") == phase and not timer.is_alive():
                    phase = "none: this one is it"
                    timer.start()
            _, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            timer.cancel()
            last_resort.cancel()
            process.kill()
        if process.returncode == -9:
            self.kills[seen] = self.kills.get(seen, 0) + 1
            return True
        assert process.returncode == 0, errors
        return False

    @property
    def num_kills(self) -> int:
        return sum(self.kills.values())


def _event(line: str) -> dict[str, str]:
    try:
        found = json.loads(line)
    except ValueError:  # cut by the kill
        return {}
    return found if isinstance(found, dict) else {}
