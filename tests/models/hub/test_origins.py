"""A folder as an origin, and what identifies a file that is offered."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ManifestError, OriginError, UnstableFileError
from models.hub.origins import FolderOrigin, OriginFile
from models.refs import ModelRef
from models.trust.manifest import SIGNATURE, Manifest
from tests.models.folders import whole

texts = st.text(max_size=5)


@pytest.fixture
def folder(tmp_path):
    return whole(tmp_path / "brought")


@given(
    st.lists(st.builds(OriginFile, path=texts, size=st.integers(0, 9), version=texts), max_size=6)
)
def test_halves_of_different_contents_never_share_a_name(files):
    assert len({file.key for file in files}) == len(set(files))
    assert all(len(file.key) == 40 for file in files)


def test_a_folder_without_a_manifest_offers_its_files_and_says_nothing_of_them(folder):
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").touch()
    listing = FolderOrigin(folder).listing(ModelRef(repo="acme/tiny"))
    assert [file.path for file in listing.files] == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert (listing.ref, listing.licence, listing.manifest, listing.signature) == (None,) * 4
    assert all(file.sha256 is None and file.version for file in listing.files)


def test_a_manifest_says_what_is_offered_and_where_it_is_from(folder):
    source = ModelRef(repo="acme/tiny", revision="c" * 40)
    manifest = Manifest.build(folder, source=source, licence="mit")
    manifest.write(folder)
    (folder / "unlisted.json").touch()
    listing = FolderOrigin(folder).listing(None)
    assert [file.path for file in listing.files] == [file.path for file in manifest.files]
    assert [file.sha256 for file in listing.files] == [file.sha256 for file in manifest.files]
    assert (listing.ref, listing.licence, listing.signature) == (source, "mit", None)
    (folder / SIGNATURE).write_bytes(b"signed")
    assert FolderOrigin(folder).listing(None).signature == b"signed"


def test_a_broken_manifest_is_not_passed_over(folder):
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError, match="is not a manifest"):
        FolderOrigin(folder).listing(None)


@pytest.mark.parametrize(("offset", "rest"), [(0, b"{}"), (1, b"}"), (2, b"")])
def test_bytes_begin_where_they_are_asked_for(folder, offset, rest):
    origin = FolderOrigin(folder)
    (offered,) = (f for f in origin.listing(None).files if f.path == "tokenizer.json")
    with origin.open(None, offered, offset) as (begin, chunks):
        assert (begin, b"".join(chunks)) == (offset, rest)


def test_a_file_that_changes_meanwhile_is_refused(folder):
    origin = FolderOrigin(folder)
    (offered,) = (f for f in origin.listing(None).files if f.path == "tokenizer.json")

    def copy() -> None:
        with origin.open(None, offered, 0) as (_, chunks):
            assert b"".join(chunks) == b"{}"
            (folder / "tokenizer.json").write_text("{ }")

    with pytest.raises(UnstableFileError, match="while it was copied"):
        copy()


def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(OriginError, match=r"nowhere cannot be read: No such file"):
        FolderOrigin(tmp_path / "nowhere").listing(None)
    gone = OriginFile(path="gone.json", size=1)
    with (
        pytest.raises(OriginError, match=r"gone\.json cannot be read"),
        FolderOrigin(folder).open(None, gone, 0),
    ):
        pass


@pytest.mark.parametrize("kind", ["a pipe", "a link"])
def test_what_a_manifest_lists_and_is_no_file_is_not_copied(folder, kind):
    Manifest.build(folder).write(folder)
    origin = FolderOrigin(folder)
    (offered,) = (f for f in origin.listing(None).files if f.path == "tokenizer.json")
    (folder / "tokenizer.json").unlink()
    if kind == "a pipe":
        os.mkfifo(folder / "tokenizer.json")
    else:
        (folder / "tokenizer.json").symlink_to("/etc/hostname")
    with (
        pytest.raises(OriginError, match=f"cannot be read: is .*{kind}"),
        origin.open(None, offered, 0),
    ):
        raise AssertionError("it was opened")


def test_a_signature_that_is_no_file_is_named(folder):
    Manifest.build(folder).write(folder)
    os.mkfifo(folder / SIGNATURE)
    with pytest.raises(OriginError, match=r"model\.sig cannot be read: .* a pipe"):
        FolderOrigin(folder).listing(None)
