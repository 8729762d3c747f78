"""A folder is looked at before the first rule reads it, and again once it is loaded."""

from __future__ import annotations

import os

import pytest

from models.errors import NotIntactError
from models.trust.unchanged import MAX_SHOWN, marks_in, require_unchanged
from tests.models.folders import whole


@pytest.fixture
def folder(tmp_path):
    return whole(tmp_path / "m")


def written(folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')


def exchanged(folder):
    """By one of the same size and times, as who hides something would."""
    old = (folder / "model.safetensors").stat()
    (folder / "new").write_bytes((folder / "model.safetensors").read_bytes())
    os.utime(folder / "new", ns=(old.st_atime_ns, old.st_mtime_ns))
    (folder / "new").rename(folder / "model.safetensors")


def written_and_set_back(folder):
    path = folder / "model.safetensors"
    old = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def added(folder):
    (folder / "chat_template.jinja").write_text("{{ x }}")


def removed(folder):
    (folder / "tokenizer.json").unlink()


def made_a_link(folder):
    (folder / "tokenizer.json").rename(folder.parent / "t")
    (folder / "tokenizer.json").symlink_to(folder.parent / "t")


@pytest.mark.parametrize(
    "change", [written, exchanged, written_and_set_back, added, removed, made_a_link]
)
def test_each_change_is_seen(folder, change):
    before = marks_in(folder)
    require_unchanged(folder, before)
    change(folder)
    with pytest.raises(NotIntactError, match="was changed while it was checked and loaded"):
        require_unchanged(folder, before)


def test_reading_is_no_change(folder):
    before = marks_in(folder)
    for path in folder.iterdir():
        path.read_bytes()
    require_unchanged(folder, before)


def test_few_of_many_are_named(folder):
    with pytest.raises(NotIntactError, match=f"and {42 + 3 - MAX_SHOWN} more"):
        require_unchanged(folder, {f"f{number}": (0, 0, 0, 0) for number in range(42)})


def test_a_folder_that_is_gone(folder):
    before = marks_in(folder)
    folder.rename(folder.with_name("other"))
    with pytest.raises(NotIntactError, match="cannot be looked at any more"):
        require_unchanged(folder, before)
