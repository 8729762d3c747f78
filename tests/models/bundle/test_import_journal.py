"""What of a bundle has arrived, in a staging tree on this disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os

import pytest

from models.bundle.import_journal import JOURNAL, KEPT_SEAL, Received
from models.bundle.media import RawIndex
from models.staging import Staging
from tests.models.bundle.bundles import SPLIT, contents, model, write


@pytest.fixture
def bundle(tmp_path):
    return write(model(tmp_path / "source"), tmp_path / "out")


@pytest.fixture
def staging(tmp_path):
    place = Staging(folder=tmp_path / "staging", target=tmp_path / "target")
    place.tree.mkdir(parents=True)
    place.parts.mkdir()
    return place


@pytest.fixture
def opened(bundle, staging):
    """Opens the staging tree, as each import does."""

    def again(index=bundle.index, signature=None):
        raw = RawIndex(where="x", raw=index.to_json(), signature=signature)
        return Received(staging, index, raw)

    return again


@pytest.fixture
def content(bundle):
    """The bytes of a part."""
    return lambda number: (bundle.folder / bundle.index.parts[number].name).read_bytes()


def test_all_parts_make_the_model_and_its_hashes(bundle, staging, opened, content, tmp_path):
    received = opened()
    for number, part in enumerate(bundle.index.parts):
        assert received.write(number, [content(number)]) == part.sha256
        received.keep(number)
    assert contents(staging.tree) == contents(tmp_path / "source")
    hashes = {file.path: file.sha256 for file in bundle.index.files}
    assert received.hashes() == hashes


def test_chunks_of_any_size_are_put_in_place(bundle, opened, content):
    raw = content(0)
    chunks = [raw[:1], raw[1:7], b"", raw[7:]]
    assert opened().write(0, [chunk for chunk in chunks if chunk]) == bundle.index.parts[0].sha256


def test_files_have_their_full_size_from_the_beginning(bundle, staging, opened):
    opened()
    sizes = {path: len(raw) for path, raw in contents(staging.tree).items()}
    assert sizes == {file.path: file.size for file in bundle.index.files}


def test_a_part_that_ends_early_has_another_hash_and_is_not_recorded(bundle, opened, content):
    received = opened()
    found = received.write(1, [content(1)[:-1]])
    assert found == hashlib.sha256(content(1)[:-1]).hexdigest()
    assert received.done == set()


def test_what_was_kept_is_there_for_the_next_process(opened, content):
    received = opened()
    received.write(2, [content(2)])
    received.write(3, [content(3)])  # written, and killed before it was kept
    received.keep(2)
    assert opened().done == {2}


def test_a_file_whose_parts_came_out_of_order_is_hashed_later(bundle, opened, content):
    received = opened()
    for number in reversed(range(len(bundle.index.parts))):
        received.write(number, [content(number)])
    weights = [file.path for file in bundle.index.files if file.size > SPLIT]
    assert weights
    assert not set(weights) & set(received.hashes())


def test_a_damaged_part_can_be_read_again(bundle, opened, content):
    received = opened()
    received.write(0, [content(0)])
    before = received.copies_of_hashes(1)
    received.write(1, [bytes(len(content(1)))])
    received.go_back(before)
    for number in range(1, len(bundle.index.parts)):
        received.write(number, [content(number)])
    assert received.hashes() == {file.path: file.sha256 for file in bundle.index.files}


def test_a_file_that_is_not_what_it_should_be_loses_all_its_parts(bundle, opened, content):
    received = opened()
    for number in range(len(bundle.index.parts)):
        received.write(number, [content(number)])
        received.keep(number)
    received.drop("model.safetensors")
    assert received.done == opened().done
    assert len(bundle.index.parts) - len(received.done) > 0
    received.drop("nothing of that name")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"done": [0]}',
        '{"index": "x", "done": [0]}',
        '{"index": 3, "done": 3}',
        "[" * 9000,
    ],
)
def test_a_damaged_journal_begins_anew(staging, opened, content, text):
    received = opened()
    received.write(0, [content(0)])
    received.keep(0)
    (staging.parts / JOURNAL).write_text(text)
    assert opened().done == set()


def test_numbers_that_no_part_has_are_not_believed(staging, opened, content):
    received = opened()
    received.write(0, [content(0)])
    received.keep(0)
    document = json.loads((staging.parts / JOURNAL).read_bytes())
    (staging.parts / JOURNAL).write_text(json.dumps(document | {"done": [0, 99, -1, True, "1"]}))
    assert opened().done == {0}


def test_another_bundles_tree_is_emptied(bundle, staging, opened, content):
    received = opened()
    received.write(0, [content(0)])
    received.keep(0)
    other = dataclasses.replace(bundle.index, model="other")
    assert opened(other).done == set()
    assert not any(raw.strip(b"\0") for raw in contents(staging.tree).values())


def test_a_tree_that_lost_a_file_is_emptied(staging, opened, content):
    received = opened()
    received.keep(0)
    (staging.tree / "config.json").unlink()
    assert opened().done == set()


def test_a_signature_is_kept_for_the_next_medium(staging, opened, content):
    received = opened(signature=b"signed")
    received.write(0, [content(0)])
    received.keep(0)
    opened()
    assert (staging.parts / KEPT_SEAL).read_bytes() == b"signed"


def test_a_journal_that_is_no_file_begins_anew(staging, opened, content):
    received = opened()
    received.write(0, [content(0)])
    received.keep(0)
    (staging.parts / JOURNAL).unlink()
    os.mkfifo(staging.parts / JOURNAL)
    assert opened().done == set()
