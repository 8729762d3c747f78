"""The repository as the house rules see it: packages, texts, and what is left out."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("serve", "models", "quantize", "benchmarks")
PROGRAMS = (*PACKAGES, "docs", "release")
TEXTS = frozenset(
    {
        *(".py", ".sh", ".toml", ".md", ".txt", ".svg", ".jinja", ".html", ".css", ".js"),
        *(".in", ".lock", ".yaml", ".yml", ".json", ".cfg", ".ini"),
    }
)
NAMED_TEXTS = frozenset({"Makefile", "Dockerfile", ".gitignore", ".dockerignore", "run"})
NOT_OURS = frozenset({"__pycache__", "build", "dist", "bench-out", "weights", "node_modules"})
VISIBLE = frozenset({".ci", ".github"})
"""Hidden folders that are part of the repository; all others are caches and environments."""


def python_files(*roots: str, root: Path = ROOT) -> list[Path]:
    """Python files of these packages."""
    return [path for name in roots for path in files(root / name) if path.suffix == ".py"]


def texts(root: Path = ROOT) -> list[Path]:
    """Files that people wrote, the licence apart."""
    return [
        path
        for path in files(root)
        if (path.suffix in TEXTS or path.name.partition(".")[0] in NAMED_TEXTS)
        and path.name != "LICENSE"
    ]


def files(folder: Path) -> Iterator[Path]:
    """Files under the folder, sorted, without caches, environments and builds."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir():
            is_hidden = path.name.startswith(".") and path.name not in VISIBLE
            if not (is_hidden or path.name in NOT_OURS or path.name.endswith(".egg-info")):
                yield from files(path)
        else:
            yield path


def pyproject(root: Path = ROOT) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def name_of(path: Path, root: Path = ROOT) -> str:
    return path.relative_to(root).as_posix()
