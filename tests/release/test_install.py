"""`python -m release`, and its install.sh for real where there is no network.

The wheels are those of this environment that `python -m models` needs, packed again: a few MB in
place of the lock's gigabyte. Everything else is what `make bundle` makes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.trust.manifest import Manifest
from tests.e2e.alone import UNSHARE
from tests.house.tree import ROOT
from tests.hub.emulator import Hub
from tests.hub.pulls import NAME, REPO, pull, tiny_repo
from tests.models.bundle.bundles import flip
from tests.programs import skip_without_own_network
from tests.release.wheels import lock, made, repacked

NEEDED = ("rich", "cryptography", "cffi", "jinja2", "markupsafe")


@dataclass(frozen=True)
class Made:
    folder: Path
    trust: Path
    digest: str
    said: dict[str, object]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("release")


@pytest.fixture(scope="module")
def bundle(base) -> Made:
    """From a pull to a software bundle, on the side of the gap that has a network."""
    with pytest.MonkeyPatch.context() as patch, Hub() as hub:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        hub.add(REPO, tiny_repo())
        digest = pull(hub, base / "data").digest
    wheels = [repacked(base / "there", name) for name in NEEDED]
    path = lock(base / "x.lock", [*wheels, made(base / "there", "startup", **{"x.pth": ""})])
    key = base / "keys" / "signer.pem"
    key.parent.mkdir()
    run("models", "keygen", key)
    words = ["--out", base / "out", "--model", NAME, "--lock", path, "--sign", key, "--json"]
    result = run("release", *words, "--data-dir", base / "data", PIP_FIND_LINKS=str(base / "there"))
    assert "startup runs code at each start of Python: x.pth" in result.stderr
    key.unlink()
    return Made(base / "out", base / "keys", digest, json.loads(result.stdout))


def run(module: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    result = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=ROOT,
        env=kept | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


def install(bundle: Path, *words: object, alone: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(UNSHARE if alone else []), "sh", str(bundle / "install.sh"), *map(str, words)],
        env=os.environ | {"PIP_FIND_LINKS": "/nowhere", "PYTHONPATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    """To be damaged."""
    shutil.copytree(bundle.folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_sums_are_over_everything(bundle):
    lines = (bundle.folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    here = {
        path.relative_to(bundle.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.folder.rglob("*")
        if path.is_file() and not path.name.startswith("SHA256SUMS")
    }
    assert listed == here
    assert {"install.sh", "requirements.lock", "sbom.cdx.json"} < set(listed)
    assert bundle.said["num_wheels"] == len(NEEDED) + 2
    assert bundle.said["digest"] == bundle.digest


def test_no_file_names_an_index_or_an_address(bundle):
    for name in ("install.sh", "requirements.lock", "sbom.cdx.json", "SHA256SUMS"):
        assert "://" not in (bundle.folder / name).read_text()


def test_it_installs_and_imports_without_a_network(bundle, tmp_path):
    skip_without_own_network(UNSHARE)
    into, data = tmp_path / "env", tmp_path / "data"
    words = ["--into", into, "--trust", bundle.trust, "--data-dir", data]
    result = install(bundle.folder, *words, "--python", sys.executable, alone=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"signed by {bundle.trust / 'signer.pub'}" in result.stdout
    assert Manifest.read(data / "models" / NAME).digest == bundle.digest
    verify = ["-I", "-m", "models", "verify", NAME, "--json", "--data-dir", str(data)]
    found = subprocess.run(
        [*UNSHARE, str(into / "bin" / "python"), *verify],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(found.stdout)
    assert (report["ok"], report["digest"]) == (True, bundle.digest)
    assert report["num_hashed"] == report["num_files"]


def test_a_damaged_file_is_named(copy, tmp_path):
    (wheel,) = copy.glob("wheels/rich-*.whl")
    flip(wheel, 1000)
    result = install(copy, "--into", tmp_path / "env", "--python", sys.executable)
    assert result.returncode == 1
    assert f"wheels/{wheel.name}: FAILED" in result.stdout
    assert "damaged" in result.stderr
    assert not (tmp_path / "env").exists()


def test_a_missing_file_is_named(copy, tmp_path):
    (copy / "sbom.cdx.json").unlink()
    result = install(copy, "--into", tmp_path / "env", "--python", sys.executable)
    assert result.returncode == 1
    assert "sbom.cdx.json: FAILED open or read" in result.stdout


def test_sums_that_were_made_right_again_are_not_signed(bundle, copy, tmp_path):
    (copy / "requirements.lock").write_text("")
    sums = copy / "SHA256SUMS"
    rows = [row for row in sums.read_text().splitlines() if "requirements.lock" not in row]
    sums.write_text("\n".join([*rows, f"{hashlib.sha256().hexdigest()}  requirements.lock\n"]))
    words = ["--into", tmp_path / "env", "--python", sys.executable]
    for trust in (bundle.trust, bundle.trust / "signer.pub"):
        result = install(copy, *words, "--trust", trust)
        assert result.returncode == 1
        assert "made the signature of SHA256SUMS over these bytes" in result.stderr
    (copy / "SHA256SUMS.sig").unlink()
    result = install(copy, *words, "--trust", bundle.trust)
    assert result.returncode == 1
    assert "not signed" in result.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "--into DIR is missing"),
        (["--into"], "--into needs a value"),
        (["--into", ".", "--python", sys.executable], "is there already"),
        (["--into", "x", "--python", "no-such-python"], "no-such-python was not found"),
        (["--fast"], "--fast is not known"),
    ],
)
def test_what_is_wrong_with_the_words_is_said(copy, words, why):
    result = install(copy, *words)
    assert result.returncode == 1
    assert why in result.stderr


def test_a_bundle_without_sums_is_none(copy, tmp_path):
    (copy / "SHA256SUMS").unlink()
    result = install(copy, "--into", tmp_path / "env", "--python", sys.executable)
    assert result.returncode == 1
    assert "not whole" in result.stderr


def test_help(bundle):
    result = install(bundle.folder, "--help")
    assert result.returncode == 0
    assert "openssl dgst -sha256 -verify" in result.stdout
    assert "python -m release" in run("release", "--help").stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--lock", "no-such.lock"], "no-such.lock"),
        (["--sign", "no-such.pem"], "no-such.pem"),
    ],
)
def test_what_cannot_be_released_is_told_at_once(tmp_path, words, why):
    result = subprocess.run(
        [sys.executable, "-m", "release", "--out", str(tmp_path / "out"), *words],
        cwd=ROOT,
        env=os.environ | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert why in result.stderr
    assert not (tmp_path / "out" / "SHA256SUMS").exists()
