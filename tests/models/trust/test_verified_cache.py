from __future__ import annotations

import json
import stat

import pytest

from models.trust.verified_cache import SETTLED_NS, Stamp, Stamps, is_settled


def stamp_of(folder):
    return Stamp(folder=folder.resolve(), digest="sha256:x", files={"a": (1, 2, 3, 4)})


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    return path


def test_what_is_written_is_read(tmp_path, folder):
    kept = Stamps(tmp_path / "data")
    assert kept.read(folder) is None
    kept.write(stamp_of(folder))
    assert kept.read(folder) == stamp_of(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert kept.read(link) == stamp_of(folder)
    kept.forget(folder)
    kept.forget(folder)
    assert kept.read(folder) is None


def test_only_the_owner_enters(tmp_path, folder):
    kept = Stamps(tmp_path / "data")
    kept.write(stamp_of(folder))
    assert stat.S_IMODE(kept.root.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "\xff", '{"format": "intramural-stamp/2"}', '{"format": "intramural-stamp/1"}'],
)
def test_a_damaged_stamp_is_none(tmp_path, folder, text):
    kept = Stamps(tmp_path / "data")
    kept.write(stamp_of(folder))
    (path,) = kept.root.iterdir()
    path.write_text(text, encoding="latin-1")
    assert kept.read(folder) is None
    assert list(kept.of_absent()) == [path]


@pytest.mark.parametrize("marks", [[1, 2, 3], ["1", 2, 3, 4], [1, 2, 3, True], None, [1.0] * 4])
def test_damaged_marks_are_left_out(tmp_path, folder, marks):
    kept = Stamps(tmp_path / "data")
    kept.write(stamp_of(folder))
    (path,) = kept.root.iterdir()
    document = json.loads(path.read_bytes())
    document["files"]["b"] = marks
    path.write_text(json.dumps(document))
    assert kept.read(folder) == stamp_of(folder)


def test_a_stamp_of_another_folder_is_none(tmp_path, folder):
    kept = Stamps(tmp_path / "data")
    kept.write(stamp_of(folder))
    (path,) = kept.root.iterdir()
    path.write_text(path.read_text().replace(str(folder), "/elsewhere"))
    assert kept.read(folder) is None


def test_stamps_of_absent_models_are_found(tmp_path, folder):
    kept = Stamps(tmp_path / "data")
    kept.write(stamp_of(folder))
    assert list(kept.of_absent()) == []
    folder.rmdir()
    assert len(list(kept.of_absent())) == 1
    assert list(Stamps(tmp_path / "other").of_absent()) == []


def test_a_file_is_settled_when_both_its_times_are_old():
    now = 10**18
    old, fresh = now - SETTLED_NS - 1, now - SETTLED_NS
    assert is_settled((1, old, old, 1), now)
    assert not is_settled((1, fresh, old, 1), now)
    assert not is_settled((1, old, fresh, 1), now)
    assert not is_settled((1, now + 10**12, old, 1), now)


def test_a_folder_among_the_stamps_is_none_of_ours(tmp_path, folder):
    kept = Stamps(tmp_path / "data")
    (kept.root / "x.json").mkdir(parents=True)
    (kept.root / "y.json").touch()
    assert list(kept.of_absent()) == [kept.root / "y.json"]
