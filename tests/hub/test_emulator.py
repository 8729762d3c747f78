"""The real huggingface_hub client against the emulator: what the client believes, it is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.house.tree import ROOT
from tests.hub.emulator import Hub

FILES = {"config.json": b'{"a": 1}', "model.safetensors": bytes(range(256)) * 300}
REPO = "acme/tiny"


@pytest.fixture(autouse=True)
def _quiet_client(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as started:
        started.add(REPO, FILES)
        yield started


def test_the_client_reads_sizes_and_hashes(hub):
    info = HfApi(endpoint=hub.url).model_info(REPO, files_metadata=True)
    assert info.sha == hub.repos[REPO].branches["main"]
    siblings = {sibling.rfilename: sibling for sibling in info.siblings}
    weights = siblings["model.safetensors"]
    assert weights.lfs.sha256 == hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert weights.size == len(FILES["model.safetensors"])
    config = FILES["config.json"]
    header = b"blob %d\0" % len(config)
    assert siblings["config.json"].blob_id == hashlib.sha1(header + config).hexdigest()
    tree = list(HfApi(endpoint=hub.url).list_repo_tree(REPO, recursive=True))
    assert {entry.path for entry in tree} == set(FILES)


def test_the_client_s_own_download(hub, tmp_path):
    path = snapshot_download(REPO, endpoint=hub.url, local_dir=tmp_path / "a", token="hf_let_in")
    assert {name: (tmp_path / "a" / name).read_bytes() for name in FILES} == FILES
    assert path == str(tmp_path / "a")
    at_cdn = [seen for seen in hub.seen if seen.is_cdn]
    assert at_cdn
    assert not any("authorization" in seen.headers for seen in at_cdn)


def test_errors_are_those_that_the_client_knows(hub, tmp_path):
    hub.add("acme/gated", FILES, gated=True)

    def get(repo: str, file: str = "config.json", **options: object) -> None:
        hf_hub_download(repo, file, endpoint=hub.url, local_dir=tmp_path / repo, **options)

    with pytest.raises(GatedRepoError, match="401"):
        get("acme/gated", token=False)
    with pytest.raises(GatedRepoError, match="403"):
        get("acme/gated", token="hf_someone_else")
    get("acme/gated", token="hf_let_in")
    with pytest.raises(RepositoryNotFoundError):
        get("acme/none", token=False)
    with pytest.raises(RevisionNotFoundError):
        get(REPO, revision="nowhere")
    with pytest.raises(EntryNotFoundError):
        get(REPO, "nothing.json")


def test_ranges_and_faults(hub):
    commit = hub.repos[REPO].branches["main"]
    address = f"{hub.url}/{REPO}/resolve/{commit}/model.safetensors"
    part = httpx.get(address, headers={"Range": "bytes=256-"}, follow_redirects=True)
    assert part.status_code == 206
    assert part.content == FILES["model.safetensors"][256:]
    hub.fault("model.safetensors", status=503, retry_after="0")
    hub.fault("model.safetensors", cut_after=1000)
    hub.fault("model.safetensors", flip_at=0)
    assert httpx.get(address, follow_redirects=True).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address, follow_redirects=True)
    assert httpx.get(address, follow_redirects=True).content[:2] == b"\x01\x01"
    assert httpx.get(address, follow_redirects=True).content == FILES["model.safetensors"]


def test_a_branch_moves(hub):
    old = hub.repos[REPO].branches["main"]
    new = hub.add(REPO, FILES | {"config.json": b"{}"})
    api = HfApi(endpoint=hub.url)
    assert api.model_info(REPO).sha == new
    assert api.model_info(REPO, revision=old).sha == old


def test_as_a_process(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "tests.hub.emulator", f"{REPO}={tmp_path}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            assert HfApi(endpoint=address).model_info(REPO).id == REPO
        finally:
            process.kill()
