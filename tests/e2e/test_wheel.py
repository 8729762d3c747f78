"""The wheel in an empty environment: `intramural run` answers, and every command starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from release import wheels
from serve.commit import of_checkout
from tests.e2e.server import environment, free_port
from tests.house.tree import ROOT


def run(
    folder: Path, *command: str | Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(HOME=str(folder), **(variables or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
    return result


def test_it_installs_from_nothing_and_answers(tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("installs 1.5 GB from where pip is pointed: make prove")
    wheel = wheels.own(tmp_path / "dist").path
    run(tmp_path, sys.executable, "-m", "venv", "empty")
    home = {"PIP_CONFIG_FILE": str(Path.home() / ".config/pip/pip.conf")}  # HOME is another
    pip = (tmp_path / "empty/bin/python", "-m", "pip", "install", "--quiet")
    run(tmp_path, *pip, wheel, "torch==2.13.0", variables=home)
    command = tmp_path / "empty/bin/intramural"
    commit = of_checkout(ROOT) or "unknown"
    assert f"(commit {commit})" in run(tmp_path, command, "--version").stdout
    asked = ("run", "demo", "What is TTFT?", "--port", str(free_port()))
    assert "time to first token" in run(tmp_path, command, *asked).stdout
    for name in ("serve", "run", "chat", "models", "quantize", "bench", "keys", "doctor"):
        assert run(tmp_path, command, name, "--help").stdout.startswith("usage: intramural ")
    assert "demo" in run(tmp_path, command, "list").stdout
