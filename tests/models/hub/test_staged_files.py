"""Files on their way from parts to a tree, from a folder as the origin."""

from __future__ import annotations

import hashlib
import shutil
from types import SimpleNamespace

import pytest

from models.errors import DiskFullError, ModelRefusedError
from models.hub import staged_files
from models.hub.origins import FolderOrigin, OriginFile
from models.hub.selection import select
from models.hub.transfer import Transfer
from models.progress import Progress
from models.staging import Staging
from models.trust.manifest import Manifest
from tests.hub.pulls import Watch
from tests.models.bundle.bundles import contents
from tests.models.folders import whole


@pytest.fixture
def staging(tmp_path):
    place = Staging(folder=tmp_path / "staging", target=tmp_path / "target")
    place.tree.mkdir(parents=True)
    place.parts.mkdir()
    return place


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def transfer(staging, watch, tmp_path):
    origin = FolderOrigin(tmp_path / "origin")
    return Transfer(origin=origin, ref=None, parts=staging.parts, progress=Progress(watch))


def selected(transfer):
    return select(transfer.origin.listing(None), where="x")


def file_of(path, raw, **facts) -> OriginFile:
    return OriginFile(path=path, size=len(raw), **facts)


def test_the_tree_becomes_the_model_and_every_hash_is_told(staging, transfer, tmp_path):
    folder = whole(tmp_path / "origin")
    hashes = staged_files.fill(staging, transfer, selected(transfer))
    assert contents(staging.tree) == contents(folder)
    assert hashes == {
        path: hashlib.sha256(raw).hexdigest() for path, raw in contents(folder).items()
    }
    assert list(staging.parts.iterdir()) == []


def test_a_configuration_that_is_refused_is_refused_before_the_weights_come(
    staging, transfer, tmp_path
):
    whole(tmp_path / "origin", auto_map={"AutoModel": "x.X"})
    with pytest.raises(ModelRefusedError, match="auto_map"):
        staged_files.fill(staging, transfer, selected(transfer))
    assert not (staging.tree / "model.safetensors").exists()
    assert list(staging.parts.iterdir()) == []


def test_what_an_earlier_process_placed_is_gone_on_with(staging, transfer, watch, tmp_path):
    folder = whole(tmp_path / "origin")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, staging.tree)
    staged_files.fill(staging, transfer, selected(transfer))
    assert contents(staging.tree) == contents(folder)
    size = (folder / "config.json").stat().st_size + (folder / "model.safetensors").stat().st_size
    assert watch.notices == [f"going on with {size} B that are here"]


def test_room_is_looked_for_before_anything_comes(staging, transfer, tmp_path, monkeypatch):
    whole(tmp_path / "origin")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match="1 kB free"):
        staged_files.fill(staging, transfer, selected(transfer))
    assert contents(staging.folder) == {}


def test_only_whole_files_of_the_tree_are_taken_back(staging, transfer):
    wanted = [file_of("a.json", b"12"), file_of("b.json", b"12")]
    (staging.tree / "a.json").write_bytes(b"12")
    (staging.tree / "b.json").write_bytes(b"1")  # could be a second name of a file in use
    (staging.tree / "c.json").write_bytes(b"12")
    (staging.parts / "of-another-version").write_bytes(b"12")
    staged_files.take_back(staging, transfer, wanted)
    assert contents(staging.tree) == {}
    assert contents(staging.parts) == {wanted[0].key: b"12"}


def test_a_part_is_not_replaced_by_what_lies_in_the_tree(staging, transfer):
    wanted = file_of("a.json", b"12")
    (staging.tree / "a.json").write_bytes(b"12")
    transfer.part(wanted).write_bytes(b"3")
    staged_files.take_back(staging, transfer, [wanted])
    assert transfer.part(wanted).read_bytes() == b"3"


def test_files_that_stay_as_they_are_become_second_names(staging, transfer):
    manifest = Manifest.build(whole(staging.target))
    entries = {entry.path: entry for entry in manifest.files}
    same = entries["model.safetensors"]
    kept = OriginFile(path=same.path, size=same.size, sha256=same.sha256)
    other = OriginFile(path="config.json", size=entries["config.json"].size, sha256="0" * 64)
    unknown = OriginFile(path="tokenizer.json", size=2)
    staged_files.reuse(staging, transfer, [kept, other, unknown], manifest)
    assert transfer.part(kept).samefile(staging.target / "model.safetensors")
    assert not transfer.part(other).exists()
    assert not transfer.part(unknown).exists()
    staged_files.reuse(staging, transfer, [other], None)
    assert not transfer.part(other).exists()


def test_a_file_that_is_another_size_than_its_manifest_says_is_fetched(staging, transfer):
    manifest = Manifest.build(whole(staging.target))
    (entry,) = (entry for entry in manifest.files if entry.path == "model.safetensors")
    (staging.target / entry.path).write_bytes(b"short")
    file = OriginFile(path=entry.path, size=entry.size, sha256=entry.sha256)
    staged_files.reuse(staging, transfer, [file], manifest)
    assert not transfer.part(file).exists()


def test_files_in_folders_are_placed_in_them(staging, transfer):
    file = file_of("a/b/c.json", b"1")
    transfer.part(file).write_bytes(b"1")
    staged_files.place(staging, transfer, [file])
    assert contents(staging.tree) == {"a/b/c.json": b"1"}
