from __future__ import annotations

import os

import pytest

from models.bundle.index import MAX_BYTES
from models.bundle.media import Media, MediumError, Reading, read_index, size_of
from models.errors import BundleError
from models.progress import Progress
from tests.hub.pulls import Watch


def medium(path, **files):
    path.mkdir()
    for name, raw in files.items():
        (path / name.replace("_", ".")).write_bytes(raw)
    return path


def reading(path, size, watch=None):
    meter = Progress(watch or Watch())
    meter.phase("read", size)
    return Reading(path, size, meter)


def test_an_index_and_its_signature_are_found_beside_each_other(tmp_path):
    here = medium(tmp_path / "a", m_bundle_json=b"{}", m_bundle_sig=b"s", m_part001=b"1")
    index = Media.of([here]).index
    assert index is not None
    assert (index.raw, index.signature) == (b"{}", b"s")
    assert index.where == str(here / "m.bundle.json")


def test_folders_are_looked_in_once_and_in_the_order_given(tmp_path):
    first, second = medium(tmp_path / "b"), medium(tmp_path / "a", m_part001=b"1")
    media = Media.of([first, second / "m.part001", first, second])
    assert media.folders == (first, second)
    assert media.index is None


def test_copies_are_told_in_the_order_of_the_media(tmp_path):
    media = Media.of([medium(tmp_path / "a", p=b"1"), medium(tmp_path / "b", p=b"2")])
    assert [path.read_bytes() for path in media.copies("p")] == [b"1", b"2"]
    assert media.copies("q") == []


def test_of_equal_indexes_the_signed_one_is_taken(tmp_path):
    bare = medium(tmp_path / "a", m_bundle_json=b"{}")
    signed = medium(tmp_path / "b", m_bundle_json=b"{}", m_bundle_sig=b"s")
    for order in ([bare, signed], [signed, bare]):
        index = Media.of(order).index
        assert index is not None
        assert index.signature == b"s"


def test_indexes_that_differ_are_refused_with_their_names(tmp_path):
    one = medium(tmp_path / "a", m_bundle_json=b"{}")
    other = medium(tmp_path / "b", n_bundle_json=b"[]")
    with pytest.raises(
        BundleError, match=r"more than one bundle.*m\.bundle\.json.*n\.bundle\.json"
    ):
        Media.of([one, other])
    named = Media.of([one / "m.bundle.json", other]).index
    assert named is not None
    assert named.raw == b"{}"


def test_hidden_files_are_no_indexes(tmp_path):
    assert Media.of([medium(tmp_path / "a", _m_bundle_json=b"{}")]).index is None


def test_a_medium_that_is_not_there_is_asked_for(tmp_path):
    with pytest.raises(BundleError, match=r"neither a folder nor a file.*Is the medium mounted"):
        Media.of([tmp_path / "nowhere"])


def test_an_index_that_is_too_large_or_no_file_is_refused(tmp_path):
    path = tmp_path / "m.bundle.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BundleError, match=r"at most 8,388,608 are read"):
        read_index(path)
    path.unlink()
    os.mkfifo(path)  # which nobody writes to: it is not waited for
    with pytest.raises(BundleError, match="is not a plain file but a pipe"):
        read_index(path)


def test_a_part_is_read_to_its_size_and_not_beyond(tmp_path):
    path, watch = tmp_path / "p", Watch()
    path.write_bytes(b"0123456789")
    part = reading(path, 4, watch)
    assert b"".join(part) == b"0123"
    assert part.num_bytes == watch.seen[-1].done_bytes == 4


def test_a_part_that_ends_early_gives_what_it_has(tmp_path):
    (tmp_path / "p").write_bytes(b"01")
    part = reading(tmp_path / "p", 4)
    assert (b"".join(part), part.num_bytes) == (b"01", 2)


def test_a_part_that_cannot_be_read_is_the_mediums_fault(tmp_path):
    with pytest.raises(MediumError, match="No such file"):
        list(reading(tmp_path / "p", 4))
    with pytest.raises(MediumError, match="not a plain file"):
        list(reading(tmp_path, 4))


def test_what_is_no_file_has_a_parts_name_and_is_none(tmp_path):
    here = medium(tmp_path / "a")
    os.mkfifo(here / "p")
    (here / "q").symlink_to("nowhere")
    media = Media.of([here])
    assert [media.copies("p"), media.copies("q")] == [[here / "p"], [here / "q"]]
    with pytest.raises(MediumError, match="is not a plain file but a pipe"):
        size_of(here / "p")
    with pytest.raises(MediumError, match="No such file"):
        size_of(here / "q")
    with pytest.raises(BundleError, match=r"p is a pipe\. Name folders, an index or parts"):
        Media.of([here / "p"])


def test_a_signature_that_is_no_file_is_not_passed_over(tmp_path):
    here = medium(tmp_path / "a", m_bundle_json=b"{}")
    os.mkfifo(here / "m.bundle.sig")
    with pytest.raises(BundleError, match=r"m\.bundle\.sig cannot be read: .* a pipe"):
        Media.of([here])
