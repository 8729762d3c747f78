"""release/image.sh, but for the build itself, which takes minutes and root: docs/images.md."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from release import lock
from tests.house.tree import ROOT

SCRIPT = ROOT / "release" / "image.sh"
BASE = "example/debian@sha256:" + "a" * 64

BUILDAH = """#!/bin/sh
# In the place of buildah, which builds for minutes: it writes down what it was asked.
printf '%s\\n' "$@" "" >>"$ASKED"
case $1 in
  inspect) echo sha256:made ;;
  images) echo 3.84 GB ;;
  build) exit "${FAILS:-0}" ;;
  push) out=${4#docker-archive:}; echo archive >"${out%%:*}" ;;
esac
"""


def run(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), *map(str, words)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "buildah").write_text(BUILDAH)
    (tmp_path / "bin" / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return tmp_path / "asked"


def built(asked: Path) -> list[str]:
    """The words of `buildah build`."""
    (words,) = (call for call in asked.read_text().split("\n\n") if call.startswith("build\n"))
    return words.splitlines()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["tpu"], "the first word is cpu or gpu, not tpu"),
        (["cpu", "--fast"], "--fast is not known"),
        (["cpu", "--tag"], "--tag needs a value"),
        (["cpu", "--base", "debian:12"], "--base debian:12 names no digest"),
        (["cpu", "--wheels", "no-such"], "--wheels no-such is no folder"),
        (["cpu", "--cubins", "none"], "--cubins is for gpu"),
        (["gpu", "--cubins", "no-such"], "--cubins no-such is no folder, nor none"),
        (["cpu", "--pip-config", "no-such"], "--pip-config no-such is no file"),
        (["cpu", "--ca", "no-such"], "--ca no-such is no file"),
        (["cpu", "--out", SCRIPT], "is there already"),
    ],
)
def test_what_is_wrong_with_the_words_is_said(asked, words, why):
    result = run(*words)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert why in result.stderr
    assert not asked.exists()


def test_help():
    result = run("--help")
    assert result.returncode == 0
    assert "--wheels DIR" in result.stdout
    assert run().returncode == 1


def test_a_machine_without_buildah_is_told_so(tmp_path):
    for name in ("sh", "sed", "git", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    result = run("cpu", "--base", BASE, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "buildah was not found" in result.stderr


def test_what_is_asked_of_buildah(asked, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "ca.pem").write_text("x")
    out = tmp_path / "image.tar"
    words = ["--base", BASE, "--wheels", tmp_path / "wheels", "--ca", tmp_path / "ca.pem"]
    result = run("cpu", *words, "--tag", "here:cpu", "--out", out)
    assert result.returncode == 0, result.stderr
    call = built(asked)
    assert f"BASE={BASE}" in call
    assert f"wheels={tmp_path / 'wheels'}" in call
    assert f"id=ca,src={tmp_path / 'ca.pem'}" in call
    assert str(ROOT / "Dockerfile.cpu") in call
    assert "PIP_NO_INDEX=1" not in call
    assert "here:cpu: 3.84 GB, sha256:made" in result.stdout
    assert "docker-archive:" in asked.read_text()
    assert str(out) in result.stdout


def test_with_every_wheel_no_index_is_asked(asked, tmp_path):
    for one in lock.read(ROOT / "requirements" / "gpu.lock"):
        (tmp_path / f"{one.name}-{one.version}-py3-none-any.whl").touch()
    result = run("gpu", "--base", BASE, "--wheels", tmp_path, "--cubins", "none")
    assert result.returncode == 0, result.stderr
    assert {"PIP_NO_INDEX=1", "FLASHINFER_CUBINS=0"} < set(built(asked))


def test_a_build_that_fails_is_told(asked, tmp_path):
    result = run("cpu", "--base", BASE, "--tag", "here:cpu", "--out", tmp_path / "x", FAILS="3")
    assert result.returncode == 1
    assert "error: here:cpu was not built" in result.stderr
    assert not (tmp_path / "x").exists()
