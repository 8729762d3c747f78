"""The installed command: which module runs with which words, and what is said of unknown ones."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from serve.cli import console
from serve.cli.console_commands import COMMANDS, OWN
from tests.house.tree import ROOT, pyproject


@pytest.mark.parametrize(
    ("given", "module", "words"),
    [
        (["serve", "demo", "--port", "0"], "serve", ["--model", "demo", "--port", "0"]),
        (["serve", "--model", "demo"], "serve", ["--model", "demo"]),
        (["serve", "keys", "list"], "serve", ["keys", "list"]),
        (["serve", "audit", "verify"], "serve", ["audit", "verify"]),
        (["serve"], "serve", []),
        (["run", "demo", "Hello?"], "serve", ["run", "demo", "Hello?"]),
        (["chat"], "serve", ["chat"]),
        (["keys", "create"], "serve", ["keys", "create"]),
        (["doctor", "--json"], "serve", ["doctor", "--json"]),
        (["models", "list"], "models", ["list"]),
        (["list"], "models", ["list"]),
        (["pull", "demo"], "models", ["pull", "demo"]),
        (["quantize", "demo"], "quantize", ["demo"]),
        (["bench", "engine", "demo"], "benchmarks", ["engine", "demo"]),
        (["help", "bench"], "benchmarks", ["--help"]),
    ],
)
def test_a_command_is_a_module_of_ours(
    monkeypatch: pytest.MonkeyPatch, given: list[str], module: str, words: list[str]
) -> None:
    ran: list[tuple[str, list[str]]] = []

    def run_module(name: str, **options: object) -> None:
        assert options == {"run_name": "__main__", "alter_sys": True}
        ran.append((name, sys.argv[1:]))
        raise SystemExit(7)

    monkeypatch.setattr("runpy.run_module", run_module)
    for name in ("argv", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    assert console.dispatch(given) == 7
    assert ran == [(module, words)]


@pytest.mark.parametrize(
    ("word", "meant"), [("sevre", "serve"), ("model", "models"), ("verson", "version")]
)
def test_a_near_miss_names_what_was_meant(
    capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    assert console.dispatch([word]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: unknown command '{word}'. Did you mean ")
    assert meant in told
    assert told.endswith("See intramural --help.\n")


def test_help_has_every_command_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["help"]):
        assert console.dispatch(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 100
        assert {line.split()[0] for line in lines if line.startswith("  ")} >= {*COMMANDS, *OWN}


def test_nothing_heavy_is_imported_to_help_or_to_complete() -> None:
    program = (
        "import sys\nfrom serve.cli.console import dispatch\n"
        "dispatch([]), dispatch(['version']), dispatch(['completion', 'bash'])\n"
        "sys.exit(str({'torch', 'fastapi', 'httpx', 'benchmarks'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.stderr == "set()\n"
    assert "intramural " in result.stdout


def test_a_script_of_that_name_is_installed() -> None:
    scripts = pyproject()["project"]["scripts"]
    (entry,) = (
        metadata.EntryPoint(name, value, "console_scripts") for name, value in scripts.items()
    )
    assert entry.name == "intramural"
    assert entry.load() is console.main
