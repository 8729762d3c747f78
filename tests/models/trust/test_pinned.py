"""A pin is asked first: whatever the folder is called, and whatever became of its manifest."""

from __future__ import annotations

import pytest

from models.errors import LockFileError, ManifestMissingError, NotIntactError
from models.lockfile import LOCK, LockFile, Pin
from models.trust import pinned
from models.trust.manifest import MANIFEST, Manifest
from tests.models.folders import whole

OTHER = "sha256:" + "0" * 64


@pytest.fixture
def folder(tmp_path):
    path = whole(tmp_path / "models" / "m")
    manifest = Manifest.build(path)
    manifest.write(path)
    LockFile(tmp_path).put("m", Pin(digest=manifest.digest))
    return path


@pytest.mark.parametrize("way", ["models/m", "link", "linked-store/m", "models/alias"])
def test_the_pin_is_the_folders_under_any_name(folder, tmp_path, way):
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "linked-store").symlink_to(folder.parent)
    (tmp_path / "models" / "alias").symlink_to(folder)
    expect = pinned.expected(tmp_path / way, tmp_path)
    assert expect == Manifest.read(folder).digest
    assert pinned.manifest_of(tmp_path / way, expect) == Manifest.read(folder)


def test_a_store_entry_that_leads_elsewhere_keeps_its_pin(folder, tmp_path):
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    assert pinned.expected(elsewhere, tmp_path) == Manifest.read(elsewhere).digest


def test_no_pin_is_about_another_folder(folder, tmp_path):
    other = whole(tmp_path / "other" / "m")
    assert pinned.expected(other, tmp_path) is None
    with pytest.raises(ManifestMissingError):
        pinned.manifest_of(other, None)


def test_a_pinned_folder_without_its_manifest_is_refused(folder, tmp_path):
    (folder / MANIFEST).unlink()
    with pytest.raises(NotIntactError, match=r"manifest\.json is gone"):
        pinned.manifest_of(folder, pinned.expected(folder, tmp_path))


def test_a_pinned_folder_that_was_replaced_is_refused(folder, tmp_path):
    (folder / "config.json").write_text('{"model_type": "llama"}')
    Manifest.build(folder).write(folder)
    with pytest.raises(NotIntactError, match="another than was pinned"):
        pinned.manifest_of(folder, pinned.expected(folder, tmp_path))


def test_two_pins_of_one_folder_must_agree(folder, tmp_path):
    (tmp_path / "models" / "alias").symlink_to(folder)
    LockFile(tmp_path).put("alias", Pin(digest=OTHER))
    with pytest.raises(NotIntactError, match="2 different digests"):
        pinned.expected(folder, tmp_path)


def test_a_damaged_lock_is_no_excuse(folder, tmp_path):
    (tmp_path / LOCK).write_text("{}")
    with pytest.raises(LockFileError):
        pinned.expected(folder, tmp_path)
