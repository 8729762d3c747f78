from __future__ import annotations

import os

import pytest

from models.trust.differences import Comparison, Kind, on_disk
from models.trust.hashing import sha256_files
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from models.trust.verified_cache import Stamp, marks_of
from tests.models.folders import listed

FILES = ["config.json", "model.safetensors", "sub/template.jinja", "tokenizer.json"]


@pytest.fixture
def folder(tmp_path):
    return listed(tmp_path / "m")


def compare(folder, stamp=None) -> Comparison:
    return Comparison(Manifest.read(folder), on_disk(folder), stamp)


def differences(folder) -> list[tuple[Kind, str, str]]:
    """Kind, path and detail of each, with every hash that is asked for."""
    found = compare(folder)
    hashes = sha256_files([folder / path for path in found.to_hash], lambda _: None)
    told = found.differences(dict(zip(found.to_hash, hashes, strict=True)))
    return [(one.kind, one.path, one.detail) for one in told]


def test_nothing_differs_and_every_file_is_hashed(folder):
    (folder / SIGNATURE).write_text("{}")  # never listed, as the manifest itself
    assert compare(folder).to_hash == FILES
    assert differences(folder) == []
    assert MANIFEST not in on_disk(folder).plain


def test_a_file_of_another_size_need_not_be_hashed(folder):
    with (folder / "config.json").open("ab") as file:
        file.write(b"  ")
    assert "config.json" not in compare(folder).to_hash
    ((kind, path, detail),) = differences(folder)
    assert (kind, path) == (Kind.CHANGED, "config.json")
    size = (folder / "config.json").stat().st_size
    assert detail == f"it has {size} bytes, the manifest says {size - 2}"


def test_a_rename_is_one_difference_that_names_both(folder):
    (folder / "tokenizer.json").rename(folder / "a.json")
    found = compare(folder)
    hashes = sha256_files([folder / path for path in found.to_hash], lambda _: None)
    (one,) = found.differences(dict(zip(found.to_hash, hashes, strict=True)))
    assert (one.kind, one.path, one.new_path) == (Kind.RENAMED, "tokenizer.json", "a.json")
    assert str(one) == "'tokenizer.json' was renamed: it is now 'a.json'"


def test_two_equal_files_are_renamed_to_one_of_which_there_is_one(folder):
    """The second is gone: one new name cannot stand for both."""
    (folder / "a.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (folder / MANIFEST).unlink()
    Manifest.build(folder).write(folder)
    (folder / "a.json").rename(folder / "new.json")
    (folder / "tokenizer.json").unlink()
    assert sorted(kind for kind, _, _ in differences(folder)) == [Kind.REMOVED, Kind.RENAMED]


def test_an_added_file_is_hashed_only_where_it_may_be_a_renamed_one(folder):
    (folder / "more.json").write_text("{}")
    assert "more.json" not in compare(folder).to_hash
    assert differences(folder) == [(Kind.ADDED, "more.json", "the manifest does not list it")]


def test_links_and_pipes_are_strange_and_never_opened(folder):
    os.mkfifo(folder / "pipe")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/hostname")
    assert on_disk(folder).strange == {"pipe", "config.json"}
    assert {(kind, path) for kind, path, _ in differences(folder)} == {
        (Kind.ADDED, "pipe"),
        (Kind.CHANGED, "config.json"),
    }


def test_differences_come_by_path(folder):
    for path in FILES:
        (folder / path).unlink()
    assert [path for _, path, _ in differences(folder)] == FILES


def stamp_of(folder, **changes) -> Stamp:
    facts = {
        "folder": folder.resolve(),
        "digest": Manifest.read(folder).digest,
        "files": {path: marks_of((folder / path).stat()) for path in FILES},
    }
    return Stamp(**(facts | changes))


def test_a_stamp_spares_the_hashing_of_what_is_as_it_was(folder):
    stamp = stamp_of(folder)
    assert compare(folder, stamp).to_hash == []
    os.utime(folder / "config.json")
    assert compare(folder, stamp).to_hash == ["config.json"]


def test_a_stamp_of_another_manifest_spares_nothing(folder):
    assert compare(folder, stamp_of(folder, digest="sha256:" + "0" * 64)).to_hash == FILES
