from __future__ import annotations

import os

import pytest

from models.errors import ManifestError
from models.trust.manifest_files import (
    MAX_PATH_BYTES,
    FileEntry,
    is_sha256,
    path_fault,
    plain_files,
    walk,
)

SHA = "0f" * 32


@pytest.mark.parametrize("path", ["a", "a/b.c", "a b", "ünï.txt", ".hidden", "a" * MAX_PATH_BYTES])
def test_plain_relative_paths_pass(path):
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "empty or longer than 1024 bytes"),
        ("a" * (MAX_PATH_BYTES + 1), "longer than"),
        ("é" * 600, "longer than"),  # bytes, not letters
        ("a\nb", "control character"),
        ("a\x7fb", "control character"),
        ("a\\b", "backslash"),
        ("/a", "not relative"),
        ("a/", "not relative"),
        ("a//b", "not relative"),
        ("./a", "not relative"),
        ("a/../b", "not relative"),
        ("..", "not relative"),
        ("\udcff", "not valid Unicode"),
    ],
)
def test_other_paths_say_why_not(path, says):
    assert says in path_fault(path)


@pytest.mark.parametrize("text", ["", SHA[:-1], SHA + "0", SHA.upper(), SHA + "\n", "g" * 64])
def test_a_hash_is_64_lower_case_digits(text):
    assert is_sha256(SHA)
    assert not is_sha256(text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": "../a"}, r"the path '\.\./a' is not relative and plain"),
        ({"size": -1}, "the size of 'a' is -1, no count of bytes"),
        ({"size": True}, "no count of bytes"),
        ({"size": 1.0}, "no count of bytes"),
        ({"sha256": None}, "the sha256 of 'a' is not 64 lower-case hex digits"),
    ],
)
def test_an_entry_is_never_anything_else(change, says):
    with pytest.raises(ManifestError, match=says):
        FileEntry(**({"path": "a", "size": 0, "sha256": SHA} | change))


def test_files_are_found_at_any_depth_in_the_order_of_names(tmp_path):
    for path in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "empty").mkdir()
    assert list(plain_files(tmp_path)) == [("a", 1), ("b/1", 3), ("b/2", 3), ("c/d/e", 5)]


def test_the_bookkeeping_of_download_tools_is_passed_over_but_not_a_link_of_its_name(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").touch()
    assert list(plain_files(tmp_path)) == []
    (tmp_path / ".git").symlink_to("/etc")
    assert [path for path, _ in walk(tmp_path)] == [".git"]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_plain_file_is_refused_and_not_followed(tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    else:
        (tmp_path / "x").symlink_to("/etc" if kind == "folder" else "/etc/hostname")
    assert [path for path, _ in walk(tmp_path)] == ["x"]
    says = "is not a plain file but a pipe" if kind == "pipe" else "is a link"
    with pytest.raises(ManifestError, match=f"'x' {says}"):
        list(plain_files(tmp_path))


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(plain_files(tmp_path / "nowhere"))
