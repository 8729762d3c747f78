"""Whole pulls through the real huggingface_hub client, against the emulator."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import store
from models.errors import (
    DiskFullError,
    HashMismatchError,
    LockFileError,
    ManifestError,
    ModelNotFoundError,
    ModelRefusedError,
    OriginError,
    StoreBusyError,
)
from models.hub.fetch import HubOrigin
from models.hub.origins import FolderOrigin
from models.hub.pull import Outcome
from models.lockfile import LockFile, Pin
from models.refs import ModelRef
from models.staging import STAGING, staged
from models.trust.manifest import Manifest
from tests.hub.emulator import Hub
from tests.hub.pulls import NAME, REPO, Watch, closed_address, pull, tiny_repo
from tests.models.folders import whole

TAKEN = {
    *("config.json", "tokenizer.json", "model.safetensors.index.json"),
    *("model-1-of-2.safetensors", "model-2-of-2.safetensors"),
}


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub() as started:
        started.add(REPO, tiny_repo())
        yield started


def test_a_model_is_pulled_whole_and_pinned(hub, tmp_path):
    watch = Watch()
    pulled = pull(hub, tmp_path, watch)
    commit = hub.repos[REPO].branches["main"]
    assert pulled.outcome is Outcome.PULLED
    assert pulled.ref == ModelRef(repo=REPO, revision=commit)
    assert {path.name for path in pulled.path.iterdir()} == TAKEN | {"manifest.json"}
    assert all((pulled.path / name).read_bytes() == tiny_repo()[name] for name in TAKEN)
    manifest = Manifest.read(pulled.path)
    assert manifest == dataclasses.replace(
        Manifest.build(pulled.path, source=pulled.ref, licence="apache-2.0"),
        created_at=manifest.created_at,
    )
    assert LockFile(tmp_path).read() == {
        NAME: Pin(digest=manifest.digest, repo=REPO, revision="main", commit=commit)
    }
    assert store.resolve(REPO, tmp_path).path == pulled.path.resolve()
    assert list((tmp_path / "models" / STAGING).iterdir()) == []
    fetch = [snapshot for snapshot in watch.seen if snapshot.phase == "fetch"]
    assert fetch[-1].done_bytes == fetch[-1].total_bytes == manifest.size_bytes
    assert "left out 2 files" in watch.notices[0]


def test_only_what_is_taken_is_asked_for_and_at_the_commit(hub, tmp_path):
    pull(hub, tmp_path)
    commit = hub.repos[REPO].branches["main"]
    files = {path for path in hub.paths() if not path.startswith("/api/")}
    assert files == {f"/{REPO}/resolve/{commit}/{name}" for name in TAKEN}


def test_a_second_pull_asks_and_changes_nothing(hub, tmp_path):
    first = pull(hub, tmp_path)
    hub.seen.clear()
    again = pull(hub, tmp_path)
    assert again == dataclasses.replace(first, outcome=Outcome.PRESENT)
    assert len(hub.seen) == 1


def test_a_branch_that_moved_is_told_and_taken_only_on_demand(hub, tmp_path):
    old = pull(hub, tmp_path)
    new_commit = hub.add(REPO, tiny_repo(hidden_size=8))
    watch = Watch()
    moved = pull(hub, tmp_path, watch)
    assert moved == dataclasses.replace(old, outcome=Outcome.MOVED)
    assert new_commit[:12] in watch.notices[-1]
    assert "--update" in watch.notices[-1]
    hub.seen.clear()
    new = pull(hub, tmp_path, update=True)
    assert new.outcome is Outcome.PULLED
    assert new.ref is not None
    assert new.ref.revision == new_commit
    assert json.loads((new.path / "config.json").read_bytes())["hidden_size"] == 8
    assert not any("safetensors" in path for path in hub.paths() if "index" not in path)
    pin = LockFile(tmp_path).get(NAME)
    assert pin is not None
    assert (pin.commit, pin.digest) == (new_commit, new.digest)


def test_an_update_repairs_what_was_damaged(hub, tmp_path):
    first = pull(hub, tmp_path)
    weights = first.path / "model-1-of-2.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    again = pull(hub, tmp_path, update=True)
    assert again.digest == first.digest
    assert weights.read_bytes() == tiny_repo()[weights.name]


def test_a_model_that_lost_a_file_is_made_whole(hub, tmp_path):
    first = pull(hub, tmp_path)
    (first.path / "model-1-of-2.safetensors").unlink()
    (first.path / "tokenizer.json").write_text("{} ")
    watch = Watch()
    assert pull(hub, tmp_path, watch) == first
    assert "is damaged (model-1-of-2.safetensors, tokenizer.json)" in watch.notices[0]


def test_a_busy_hub_is_asked_again_for_its_listing(hub, tmp_path):
    hub.fault("/revision/main", status=503, retry_after="0", times=2)
    assert pull(hub, tmp_path).outcome is Outcome.PULLED
    hub.fault("/revision/main", status=503, retry_after="0", times=9)
    with pytest.raises(OriginError, match="answers 503"):
        pull(hub, tmp_path, update=True)


def test_a_pin_decides_what_is_pulled(hub, tmp_path):
    """models.lock, copied to another machine, makes the same model there."""
    first = pull(hub, tmp_path / "a")
    hub.add(REPO, tiny_repo(hidden_size=8))
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a/models.lock", tmp_path / "b/models.lock")
    watch = Watch()
    second = pull(hub, tmp_path / "b", watch)
    assert (second.digest, second.ref) == (first.digest, first.ref)
    assert any("models.lock pins" in text for text in watch.notices)


def test_the_pinned_commit_with_other_bytes_is_refused(hub, tmp_path):
    commit = hub.repos[REPO].branches["main"]
    digest = "sha256:" + "0" * 64
    LockFile(tmp_path).put(NAME, Pin(digest=digest, repo=REPO, revision="main", commit=commit))
    with pytest.raises(HashMismatchError, match=r"models\.lock"):
        pull(hub, tmp_path)
    assert store.DirectoryStore(tmp_path).names() == []
    assert pull(hub, tmp_path, update=True).digest != digest


def test_a_pin_of_another_repository_is_not_moved_unasked(hub, tmp_path):
    pin = Pin(digest="sha256:" + "0" * 64, repo="acme/other", revision="main", commit="a" * 40)
    LockFile(tmp_path).put(NAME, pin)
    with pytest.raises(OriginError, match="acme/other, and this is acme/tiny"):
        pull(hub, tmp_path)
    assert LockFile(tmp_path).get(NAME) == pin
    assert pull(hub, tmp_path, update=True).outcome is Outcome.PULLED


def test_a_revision_that_was_named_must_be_what_is_here(hub, tmp_path):
    old = hub.repos[REPO].branches["main"]
    new = hub.add(REPO, tiny_repo(hidden_size=8))
    pulled = pull(hub, tmp_path, ref=ModelRef(repo=REPO, revision=old), is_exact=True)
    assert pulled.ref == ModelRef(repo=REPO, revision=old)
    with pytest.raises(OriginError, match="--update"):
        pull(hub, tmp_path, ref=ModelRef(repo=REPO, revision=new), is_exact=True)
    with pytest.raises(OriginError, match="no revision 'v9'"):
        pull(hub, tmp_path, ref=ModelRef(repo=REPO, revision="v9"), is_exact=True)
    hub.seen.clear()
    same = pull(hub, tmp_path, ref=ModelRef(repo=REPO, revision=old), is_exact=True)
    assert same.outcome is Outcome.PRESENT
    assert hub.seen == []


def test_what_is_here_stays_usable_without_a_connection(hub, tmp_path):
    first = pull(hub, tmp_path)
    watch, nobody = Watch(), HubOrigin(endpoint=closed_address(), token=False)
    again = pull(None, tmp_path, watch, origin=nobody)
    assert again == dataclasses.replace(first, outcome=Outcome.UNASKED)
    assert "cannot be reached" in watch.notices[-1]


def test_killed_between_the_pin_and_the_rename_the_next_pull_ends_it(hub, tmp_path):
    old = pull(hub, tmp_path)
    new_commit = hub.add(REPO, tiny_repo(hidden_size=8))
    new = pull(hub, tmp_path / "elsewhere", update=True)
    assert new.digest is not None
    pin = Pin(digest=new.digest, repo=REPO, revision="main", commit=new_commit)
    LockFile(tmp_path).put(NAME, pin)
    ended = pull(hub, tmp_path)
    assert ended.outcome is Outcome.PULLED
    assert ended.digest == new.digest != old.digest


def test_a_model_brought_here_without_its_lock_is_pinned(hub, tmp_path):
    first = pull(hub, tmp_path)
    (tmp_path / "models.lock").unlink()
    assert pull(hub, tmp_path).outcome is Outcome.PRESENT
    pin = LockFile(tmp_path).get(NAME)
    assert pin is not None
    assert pin.digest == first.digest


def test_a_folder_placed_by_hand_is_left_alone(hub, tmp_path):
    whole(tmp_path / "models" / NAME)
    watch = Watch()
    pulled = pull(hub, tmp_path, watch)
    assert (pulled.outcome, pulled.digest, pulled.ref) == (Outcome.PRESENT, None, None)
    assert "--update" in watch.notices[-1]
    with pytest.raises(OriginError, match="nothing says which commit"):
        pull(hub, tmp_path, ref=ModelRef(repo=REPO, revision="v1"), is_exact=True)
    assert pull(hub, tmp_path, update=True).outcome is Outcome.PULLED


def test_the_policy_looks_before_the_weights_are_fetched(hub, tmp_path):
    hub.add(REPO, tiny_repo(auto_map={"AutoModel": "x.Y"}))
    with pytest.raises(ModelRefusedError, match="auto_map"):
        pull(hub, tmp_path)
    assert not any(seen.is_cdn for seen in hub.seen)
    assert list((tmp_path / "models" / STAGING).iterdir()) == []


def test_weights_that_the_policy_refuses_are_thrown_away(hub, tmp_path):
    hub.add(REPO, tiny_repo() | {"model-1-of-2.safetensors": b"\x80\x04 a pickle"})
    with pytest.raises(ModelRefusedError, match=r"model-1-of-2\.safetensors"):
        pull(hub, tmp_path)
    assert list((tmp_path / "models" / STAGING).iterdir()) == []


def test_a_model_that_is_not_whole_is_not_committed(hub, tmp_path):
    files = tiny_repo()
    del files["tokenizer.json"]
    hub.add(REPO, files)
    with pytest.raises(ModelNotFoundError, match="tokenizer"):
        pull(hub, tmp_path)
    assert store.DirectoryStore(tmp_path).names() == []


def test_room_is_looked_for_first(hub, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=64_600_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"64\.6 MB free. 67\.7 MB are needed"):
        pull(hub, tmp_path)
    assert not any(seen.is_cdn for seen in hub.seen)


def test_one_pull_of_a_name_at_a_time(hub, tmp_path):
    with staged(tmp_path / "models", NAME), pytest.raises(StoreBusyError):
        pull(hub, tmp_path)


def test_a_damaged_lock_stops_before_anything_is_fetched(hub, tmp_path):
    (tmp_path / "models.lock").write_text("{")
    with pytest.raises(LockFileError, match="damaged"):
        pull(hub, tmp_path)
    assert hub.seen == []


def test_an_update_never_writes_into_a_file_in_use(hub, tmp_path):
    """Files that stay are second names of the old ones; a killed update leaves such names."""
    first = pull(hub, tmp_path)
    weights = first.path / "model-1-of-2.safetensors"
    with staged(tmp_path / "models", NAME) as left:  # as a kill after `place` leaves it
        (left.tree / weights.name).hardlink_to(weights)
    hub.add(REPO, tiny_repo(num_bytes=400_000))
    with weights.open("rb") as in_use:
        pull(hub, tmp_path, update=True)
        assert in_use.read() == tiny_repo()[weights.name]
    assert weights.read_bytes() == tiny_repo(num_bytes=400_000)[weights.name]


class TestFromAFolder:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        return whole(tmp_path / "brought")

    def test_a_folder_is_copied_checked_and_pinned(self, folder, tmp_path):
        (folder / "notes.bin").touch()
        pulled = pull(None, tmp_path, origin=FolderOrigin(folder))
        assert pulled.outcome is Outcome.PULLED
        assert pulled.ref is None
        assert not (pulled.path / "notes.bin").exists()
        assert LockFile(tmp_path).get(NAME) == Pin(digest=str(pulled.digest))
        pulled_again = pull(None, tmp_path, origin=FolderOrigin(folder))
        assert pulled_again.outcome is Outcome.PRESENT

    def test_a_manifest_and_its_signature_are_kept(self, hub, tmp_path):
        there = pull(hub, tmp_path / "there")
        (there.path / "model.sig").write_text("{}")
        here = pull(None, tmp_path / "here", origin=FolderOrigin(there.path))
        assert (here.digest, here.ref) == (there.digest, there.ref)
        for name in ("manifest.json", "model.sig"):
            assert (here.path / name).read_bytes() == (there.path / name).read_bytes()

    def test_what_differs_from_the_manifest_is_refused(self, hub, tmp_path):
        there = pull(hub, tmp_path / "there").path
        weights = there / "model-2-of-2.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
        with pytest.raises(HashMismatchError, match=r"model-2-of-2\.safetensors"):
            pull(None, tmp_path / "here", origin=FolderOrigin(there))
        assert store.DirectoryStore(tmp_path / "here").names() == []

    def test_a_pin_says_where_equal_bytes_are_from(self, hub, tmp_path):
        there = pull(hub, tmp_path / "there")
        (there.path / "manifest.json").unlink()
        (tmp_path / "here").mkdir()
        shutil.copy(tmp_path / "there/models.lock", tmp_path / "here/models.lock")
        here = pull(None, tmp_path / "here", origin=FolderOrigin(there.path))
        assert (here.digest, here.ref) == (there.digest, there.ref)

    def test_a_manifest_of_another_commit_does_not_move_the_pin(self, hub, tmp_path):
        pull(hub, tmp_path / "here")
        shutil.rmtree(tmp_path / "here" / "models")
        pin = LockFile(tmp_path / "here").get(NAME)
        hub.add(REPO, tiny_repo(hidden_size=8))
        newer = pull(hub, tmp_path / "there")
        with pytest.raises(HashMismatchError, match=r"models\.lock"):
            pull(None, tmp_path / "here", origin=FolderOrigin(newer.path))
        assert LockFile(tmp_path / "here").get(NAME) == pin

    def test_a_pin_of_other_bytes_refuses(self, hub, folder, tmp_path):
        pull(hub, tmp_path / "there")
        (tmp_path / "here").mkdir()
        shutil.copy(tmp_path / "there/models.lock", tmp_path / "here/models.lock")
        with pytest.raises(HashMismatchError, match="--update"):
            pull(None, tmp_path / "here", origin=FolderOrigin(folder))

    def test_links_are_not_followed(self, folder, tmp_path):
        (folder / "LICENSE").symlink_to("/etc/hostname")
        with pytest.raises(ManifestError, match=r"LICENSE.*link"):
            pull(None, tmp_path, origin=FolderOrigin(folder))
        assert store.DirectoryStore(tmp_path).names() == []
