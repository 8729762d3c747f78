"""Snapshots of Hugging Face's cache: served as they lie, and no other link is followed for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from models import folder, hub_cache, plain_file, policy
from models.__main__ import main
from models.errors import ManifestError, ModelNotFoundError, ModelRefusedError, NotIntactError
from models.store import load_folder, locate, resolve
from models.trust import unchanged
from models.trust.hashing import sha256_files
from models.trust.manifest import Manifest
from models.trust.verify import Mode, verify
from tests.models.folders import safetensors, whole
from tests.models.hub_caches import COMMIT, link, snapshot_of, tiny


def test_a_snapshot_is_a_model_folder(tmp_path: Path) -> None:
    snapshot = tiny(tmp_path)
    link(snapshot, ".gitattributes", b"*.safetensors filter=lfs\n")
    link(snapshot, "sub/template.jinja", b"{{ x }}")
    name, path = locate(str(snapshot), tmp_path)
    artifact = load_folder(path, name=name)
    assert artifact.name == "acme--tiny"
    assert folder.size_bytes(snapshot) == folder.size_bytes(tmp_path / "files") + 25
    blobs = {path.name for path in (snapshot.parent.parent / "blobs").iterdir()}
    hashed = sha256_files([snapshot / "config.json", snapshot / "sub/template.jinja"])
    assert set(hashed) <= blobs  # the bytes that a loader gets through the link
    assert artifact.marks is not None
    unchanged.require_unchanged(snapshot, artifact.marks)


def test_a_manifest_and_its_verification_see_the_blobs(tmp_path: Path) -> None:
    snapshot = tiny(tmp_path)
    manifest = Manifest.build(snapshot)
    assert manifest.digest == Manifest.build(tmp_path / "files").digest
    manifest.write(snapshot)
    assert verify(snapshot, Mode.FULL).is_ok
    blob = hub_cache.blob_of(snapshot / "model.safetensors")
    assert blob is not None
    blob.write_bytes(safetensors()[:-1] + b"\1")
    (difference,) = verify(snapshot, Mode.FULL).differences
    assert difference.path == "model.safetensors"


def outside(snapshot: Path, tmp_path: Path) -> str:
    (tmp_path / "secret.json").write_text("{}")
    return "../../../../secret.json"


def absolute(snapshot: Path, tmp_path: Path) -> str:
    return str(link(snapshot, "other.json", b"{}"))


def another_entry(snapshot: Path, tmp_path: Path) -> str:
    other = snapshot_of(whole(tmp_path / "more"), tmp_path / "hub", "acme--other")
    blob = link(other, "x.json", b"{ }")
    return f"../../../models--acme--other/blobs/{blob.name}"


def a_link(snapshot: Path, tmp_path: Path) -> str:
    blob = link(snapshot, "other.json", b"{}")
    (blob.parent / "f00").symlink_to(blob.name)
    return "../../blobs/f00"


def a_link_outside(snapshot: Path, tmp_path: Path) -> str:
    (snapshot.parent.parent / "blobs/f00").symlink_to("/etc/hostname")
    return "../../blobs/f00"


def dangling(snapshot: Path, tmp_path: Path) -> str:
    return "../../blobs/" + "0" * 64


def below_blobs(snapshot: Path, tmp_path: Path) -> str:
    (snapshot.parent.parent / "blobs/sub").mkdir()
    (snapshot.parent.parent / "blobs/sub/x").write_text("{}")
    return "../../blobs/sub/x"


def through_a_link(snapshot: Path, tmp_path: Path) -> str:
    blob = link(snapshot, "other.json", b"{}")
    (snapshot / "up").symlink_to("../..")
    return f"up/blobs/{blob.name}"


def too_high(snapshot: Path, tmp_path: Path) -> str:
    (tmp_path / "hub/blobs").mkdir()
    (tmp_path / "hub/blobs/f00").write_text("{}")
    return "../../../blobs/f00"


def a_pipe(snapshot: Path, tmp_path: Path) -> str:
    os.mkfifo(snapshot.parent.parent / "blobs/f00")
    return "../../blobs/f00"


def beside(snapshot: Path, tmp_path: Path) -> str:
    return "config.json"


HOSTILE = [
    *(outside, absolute, another_entry, a_link, a_link_outside, dangling, below_blobs),
    *(through_a_link, too_high, a_pipe, beside),
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_every_other_link_is_refused(tmp_path: Path, make: object) -> None:
    snapshot = tiny(tmp_path)
    path = snapshot / "generation_config.json"
    path.symlink_to(make(snapshot, tmp_path))  # type: ignore[operator]
    assert hub_cache.blob_of(path) is None
    with pytest.raises(ModelRefusedError, match=r"generation_config\.json \(symlink\)"):
        load_folder(snapshot, name="m")
    with pytest.raises(OSError):
        plain_file.read(path, 1000)
    with pytest.raises(OSError):
        sha256_files([path])
    with pytest.raises(ManifestError, match="is a link"):
        Manifest.build(snapshot)


def test_blobs_that_are_a_link_are_refused(tmp_path: Path) -> None:
    snapshot = tiny(tmp_path)
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(tmp_path / "elsewhere")
    blobs.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefusedError, match="symlink"):
        policy.check(snapshot)


def test_a_folder_that_looks_like_a_snapshot_in_name_alone_follows_nothing(tmp_path: Path) -> None:
    """A name is not a place: an entry is recognised where it really lies."""
    path = whole(tmp_path / "m" / "snapshots" / COMMIT)
    blob = tmp_path / "m/blobs/f00"
    blob.parent.mkdir()
    blob.write_text("{}")
    (path / "x.json").symlink_to("../../blobs/f00")
    with pytest.raises(ModelRefusedError, match=r"x\.json \(symlink\)"):
        policy.check(path)
    (tmp_path / "models--acme--tiny").symlink_to(tmp_path / "m")
    with pytest.raises(ModelRefusedError, match=r"x\.json \(symlink\)"):
        policy.check(tmp_path / "models--acme--tiny/snapshots" / COMMIT)


@pytest.mark.parametrize("what", ["link", "blob", "blob in place"])
def test_an_exchange_while_it_loads_is_seen(tmp_path: Path, what: str) -> None:
    snapshot = tiny(tmp_path)
    before = load_folder(snapshot, name="m").marks
    assert before is not None
    path = snapshot / "model.safetensors"
    blob = hub_cache.blob_of(path)
    assert blob is not None
    if what == "link":
        other = link(snapshot, "other", safetensors(16))
        (snapshot / "other").unlink()
        path.unlink()
        path.symlink_to(f"../../blobs/{other.name}")
    elif what == "blob":
        fresh = blob.with_name("new")
        shutil.copyfile(blob, fresh)
        fresh.replace(blob)
    else:
        os.utime(blob, ns=(0, 0))  # as a writer moves them
    with pytest.raises(NotIntactError, match=r"model\.safetensors"):
        unchanged.require_unchanged(snapshot, before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    snapshot = tiny(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


def test_an_entry_says_which_snapshot_to_serve(tmp_path: Path, cache: Path) -> None:
    entry = cache.parent.parent
    for text in (str(entry), entry.name, "acme/tiny"):
        with pytest.raises(ModelNotFoundError, match=f"--model {cache}$"):
            resolve(text, tmp_path)
    shutil.rmtree(entry / "refs")
    with pytest.raises(ModelNotFoundError, match=f"--model {cache}$"):
        resolve("acme/tiny", tmp_path)
    shutil.rmtree(entry / "snapshots")
    with pytest.raises(ModelNotFoundError) as absent:
        resolve("acme/tiny", tmp_path)
    assert "cache" not in str(absent.value)


def test_a_catalogue_s_model_in_the_cache_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "home/hub"
    snapshot = snapshot_of(whole(tmp_path / "files"), hub, "Qwen--Qwen3-4B")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with pytest.raises(ModelNotFoundError, match=f"--model {snapshot}$"):
        resolve("qwen3-4b", tmp_path)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/b"}, "/b"),
        ({"HF_HOME": "/c"}, "/c/hub"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HOME": "/e"}, "/e/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hub_s_client_has_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub_cache.home.hub_cache() == Path(expected)


def test_every_command_takes_a_snapshot(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(cache), "--data-dir", str(tmp_path)]) == 0
    assert "present  yes" in capsys.readouterr().out
    words = ["pull", "acme/tiny", "--from", str(cache), "--data-dir", str(tmp_path / "data")]
    assert main(words) == 0
    pulled = tmp_path / "data/models/acme--tiny"
    assert not (pulled / "config.json").is_symlink()
    assert Manifest.read(pulled).digest == Manifest.build(cache).digest
