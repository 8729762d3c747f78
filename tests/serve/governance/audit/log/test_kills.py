"""Killed at any step and at any moment: nothing acknowledged is lost, and the tree has no break."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.house.tree import ROOT
from tests.kills import num_kills


def killed(*arguments: object) -> dict[str, int]:
    module = "tests.serve.governance.audit.log.killed_writer"
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_a_kill_at_any_step_loses_nothing(tmp_path, is_proving):
    found = killed("steps", tmp_path, 1 if is_proving else 60)
    assert found["kills"] >= (200 if is_proving else 3)


def test_no_kill_loses_what_64_tasks_were_told_is_durable(tmp_path, pytestconfig):
    kills = num_kills(pytestconfig, quick=3, prove=1000)
    found = killed("random", tmp_path / "log", kills, 21)
    assert found["kills"] == kills
    assert found["acknowledged"] >= kills
    assert found["entries"] >= found["acknowledged"]
