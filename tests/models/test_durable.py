from __future__ import annotations

import pytest

from models.durable import write_whole


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    write_whole(path, b"one")
    (tmp_path / ".a.json.new").write_text("left by a crash")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / ".a.json.new").symlink_to("target")
    (tmp_path / "a.json").symlink_to("target")
    write_whole(tmp_path / "a.json", b"x")
    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "a.json").is_symlink()


def test_an_older_file_survives_a_failure(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, b"one")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
