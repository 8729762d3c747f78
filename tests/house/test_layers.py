"""Layers and one-home rules: they hold, and a planted breach of each is found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import NOT_OURS, PACKAGES, ROOT, pyproject

BIN = Path(sys.executable).parent


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "lint-imports"), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The packages and their contracts, to plant breaches in."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in PACKAGES:
        ignored = shutil.ignore_patterns(*NOT_OURS, "data", "*.jsonl")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def test_the_contracts_hold():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("serve/engine/protocol.py", "import serve.api.app", "The server's rooms are layers"),
        ("serve/errors.py", "import serve.timeline", "The server's rooms are layers"),
        ("serve/observe/logs.py", "import serve.pipeline.events", "The server's rooms are layers"),
        ("serve/api/app.py", "import serve.doctor.finding", "The server's rooms are layers"),
        ("models/store.py", "import serve.errors", "Packages are layers"),
        ("quantize/__init__.py", "import benchmarks", "Packages are layers"),
        ("models/refs.py", "import torch", "models needs no torch outside demo"),
    ],
)
def test_a_planted_import_breaks_its_contract(copy, file, line, contract):
    path = copy / file
    before = path.read_text("utf-8")
    try:
        path.write_text(f"{before}\n{line}\n", "utf-8")
        result = lint_imports(copy)
    finally:
        path.write_text(before, "utf-8")
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout
    assert result.stdout.count(" BROKEN") == 1


def server_layers() -> list[str]:
    (layers,) = (
        contract["layers"]
        for contract in pyproject()["tool"]["importlinter"]["contracts"]
        if contract["name"] == "The server's rooms are layers"
    )
    return [str(layer) for layer in layers]


def test_the_layers_are_drawn_as_they_are():
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    (drawing,) = re.findall(r"```\n(benchmarks > .*?)```", page, re.DOTALL)
    packages, server = drawing.split("\n", 1)
    assert packages == "benchmarks > serve > quantize > models"
    assert " ".join(server.split()) == " > ".join(server_layers()).replace("serve.", "")


def test_every_room_of_the_server_has_a_place_in_the_layers():
    layers = server_layers()
    placed = {room.strip().removeprefix("serve.") for layer in layers for room in layer.split("|")}
    rooms = {
        path.stem if path.suffix == ".py" else path.name
        for path in (ROOT / "serve").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"__init__", "__main__"} == placed


def test_every_library_has_one_home():
    """ruff's TID251 finds an import away from home; the list of homes is in pyproject.toml."""
    banned = pyproject()["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    uses = [
        f"import {name}" if "." not in name else f"import {name.partition('.')[0]}\n_ = {name}"
        for name in banned
    ]
    options = ["--select=TID251", "--no-cache", "--output-format=concise"]
    result = subprocess.run(
        [str(BIN / "ruff"), "check", *options, "--stdin-filename=serve/engine/planted.py", "-"],
        cwd=ROOT,
        input="\n".join(uses),
        capture_output=True,
        text=True,
        check=False,
    )
    assert [name for name in banned if f"`{name}` is banned" not in result.stdout] == []


def test_the_server_checks_a_model_folder_before_what_could_load_it_is_imported():
    program = "import sys, serve.bootstrap; print({'torch', 'transformers'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
