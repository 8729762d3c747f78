"""A model across an air gap: pulled and bundled on one side, imported, verified and served on the
other.

The other side is a network namespace of its own, in which there is no interface that is up. How
the program itself gets there is tests/release/test_install.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.lockfile import LockFile
from models.store import DirectoryStore
from tests.e2e.alone import UNSHARE
from tests.e2e.server import REPOSITORY
from tests.hub.emulator import Hub
from tests.hub.pulls import NAME, REPO, pull
from tests.programs import skip_without_own_network
from tests.tiny_models import write_tiny_model

ASK_OUT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"


def isolated(*words: object) -> subprocess.CompletedProcess[str]:
    """This Python with these words, where there is no network."""
    return subprocess.run(
        [*UNSHARE, sys.executable, *map(str, words)],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def models(*words: object) -> tuple[int, dict[str, object]]:
    """A command's exit code, and the last object that it prints."""
    result = isolated("-m", "models", *words, "--json")
    text = result.stdout
    return result.returncode, json.loads(text if words[0] == "verify" else text.splitlines()[-1])


@pytest.fixture
def pulled(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub() as hub:
        hub.add(REPO, write_tiny_model(tmp_path / "tiny"))
        pull(hub, tmp_path / "here")
    return tmp_path / "here"


def test_pull_bundle_import_verify_serve(tmp_path, pulled):
    skip_without_own_network(UNSHARE)
    assert "Network is unreachable" in isolated("-c", ASK_OUT).stderr
    there, usb1, usb2 = tmp_path / "there", tmp_path / "usb1", tmp_path / "usb2"
    command = [sys.executable, "-m", "models"]
    subprocess.run([*command, "keygen", tmp_path / "k.pem"], cwd=REPOSITORY, check=True)
    words = ["bundle", NAME, "--out", usb1, "--split", "200kB", "--sign", tmp_path / "k.pem"]
    subprocess.run([*command, *words, "--data-dir", pulled], cwd=REPOSITORY, check=True)
    usb2.mkdir()
    (usb1 / f"{NAME}.part002").rename(usb2 / f"{NAME}.part002")

    trust = ["--trust", tmp_path / "k.pub", "--data-dir", there]
    code, told = models("import", usb1, *trust)
    assert (code, told["kind"]) == (1, "PartsMissingError")
    code, told = models("import", usb2, *trust)
    assert (code, told["outcome"]) == (0, "imported")
    code, told = models("verify", NAME, "--data-dir", there)
    assert (code, told["ok"]) == (0, True)
    pins = [LockFile(data).get(NAME) for data in (pulled, there)]
    assert pins[0] == pins[1] is not None
    assert told["digest"] == pins[0].digest
    assert DirectoryStore(there).find(NAME).name == NAME

    (tmp_path / "log").mkdir()
    served = ["--model", NAME, "--served-model-name", "tiny", "--data-dir", there, "--offline"]
    told = json.loads(isolated("-m", "tests.e2e.alone", tmp_path / "log", *served).stdout)
    assert told["code"] == 0
    assert told["answer"]["usage"]["completion_tokens"] == 5
    assert pins[0].digest in (tmp_path / "log" / "server.log").read_text()
