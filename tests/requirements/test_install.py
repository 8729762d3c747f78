"""requirements/install.sh for real, with tiny wheels of stand-in indexes on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.release.wheels import lock, made
from tests.requirements.index import Index, index

TORCH = "2.13.0+cpu"


def install(
    python: str | Path, venv: Path, path: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "TORCH_"))}
    return subprocess.run(
        ["sh", "requirements/install.sh", str(python), str(venv), str(path)],
        cwd=ROOT,
        env=kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def versions(venv: Path) -> dict[str, str]:
    (site,) = venv.glob("lib/python3.*/site-packages")
    names = [path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")]
    return dict(name.split("-", 1) for name in names)


def fake(path: Path, version: str) -> Path:
    """An interpreter that says which version it is, and does nothing else."""
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environment") / "venv"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Index]:
    """An index without torch, PyTorch's, and one that has other bytes of the same name."""
    made(tmp_path / "plain", "other")
    made(tmp_path / "pytorch", "torch", TORCH)
    made(tmp_path / "forged", "torch", TORCH, head="Summary: not what was locked\n")
    names = ("plain", "pytorch", "forged")
    with index(**{name: tmp_path / name for name in names}) as served:
        yield served


@pytest.fixture
def path(tmp_path: Path, there: Index) -> Path:
    wheels = [*(tmp_path / "plain").iterdir(), *(tmp_path / "pytorch").iterdir()]
    return lock(tmp_path / "x.lock", wheels)


def test_torch_of_other_bytes_is_refused_and_what_to_do_is_said(
    there: Index, path: Path, venv: Path, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("pip runs twice more: make prove")
    forged = f"{there.url}/forged"
    result = install(sys.executable, venv, path, PIP_INDEX_URL=forged, TORCH_INDEX=forged)
    assert result.returncode == 1
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert forged in result.stderr
    assert "PIP_FIND_LINKS=/folder/with/the/wheel make setup" in result.stderr
    assert "torch" not in versions(venv)


def test_torch_comes_from_pytorchs_index_where_pips_has_none(
    there: Index, path: Path, venv: Path
) -> None:
    plain, pytorch = f"{there.url}/plain", f"{there.url}/pytorch"
    result = install(sys.executable, venv, path, PIP_INDEX_URL=plain, TORCH_INDEX=pytorch)
    assert result.returncode == 0, result.stderr
    assert versions(venv).items() >= {"torch": TORCH, "other": "1.0"}.items()
    assert f"It is not there. Fetching it from {pytorch}" in result.stdout
    assert "Installing 2 packages" in result.stdout
    assert there.asked.index("/plain/torch/") < there.asked.index("/pytorch/torch/")
    assert "/pytorch/other/" not in there.asked
    assert not (venv / ".install").exists()


def test_pytorchs_index_is_not_asked_where_pip_finds_torch(
    tmp_path: Path, there: Index, venv: Path, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("pip runs twice more: make prove")
    path = lock(tmp_path / "y.lock", [made(tmp_path / "folder", "torch", "2.14.0+cpu")])
    found = str(tmp_path / "folder")
    pytorch = f"{there.url}/pytorch"
    plain = f"{there.url}/plain"
    result = install(
        "", venv, path, PIP_INDEX_URL=plain, PIP_FIND_LINKS=found, TORCH_INDEX=pytorch
    )
    assert result.returncode == 0, result.stderr
    assert versions(venv)["torch"] == "2.14.0+cpu"
    assert not any(path.startswith("/pytorch") for path in there.asked)


def test_a_wrong_python_is_named(tmp_path: Path) -> None:
    python = fake(tmp_path / "python3.10", "3.10")
    result = install(python, tmp_path / "venv", tmp_path / "x.lock")
    assert result.returncode == 1
    assert f"{python} is Python 3.10, and Intramural needs Python 3.11, 3.12" in result.stderr


def test_none_that_fits_is_said(tmp_path: Path) -> None:
    for name in ("python3.11", "python3.12", "python3.13", "python3", "python"):
        fake(tmp_path / name, "3.10")
    path = f"{tmp_path}:/usr/bin:/bin"
    result = install("", tmp_path / "venv", tmp_path / "x.lock", PATH=path)
    assert result.returncode == 1
    assert "none was found on PATH, and Intramural needs Python 3.11, 3.12 or" in result.stderr
    assert "make PYTHON=/path/to/python3.11" in result.stderr


def test_an_environment_of_another_python_is_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    fake(tmp_path / "venv" / "bin" / "python", "3.14")
    result = install("", tmp_path / "venv", tmp_path / "x.lock")
    assert result.returncode == 1
    assert "has Python 3.14" in result.stderr
    assert f"remove {tmp_path / 'venv'} and try again" in result.stderr
