"""Segments: whole or not there, in order, and written anew when a journal is opened."""

from __future__ import annotations

import os

import pytest

from serve.governance.audit.log import frames, segments
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.frames import Scan


def made(folder, first: int, payloads: list[bytes]):
    path = segments.segment_path(folder, first)
    descriptor, _, size = segments.rewrite(path, Scan(first, 0, payloads))
    os.close(descriptor)
    assert size == path.stat().st_size
    return path


def test_segments_are_read_in_order(tmp_path):
    made(tmp_path, 10, [b"c"])
    made(tmp_path, 8, [b"a", b"b"])
    made(tmp_path, 11, [])
    (tmp_path / "other.journal").write_text("not ours")
    found = [(scan.first_index, scan.payloads) for _, scan, _ in segments.read_segments(tmp_path)]
    assert found == [(8, [b"a", b"b"]), (10, [b"c"]), (11, [])]
    later = [scan.first_index for _, scan, _ in segments.read_segments(tmp_path, 10)]
    assert later == [10, 11]


def test_a_gap_between_segments_is_damage(tmp_path):
    made(tmp_path, 0, [b"a"])
    made(tmp_path, 2, [b"c"])
    with pytest.raises(LogDamaged, match="has no entry 1") as found:
        list(segments.read_segments(tmp_path))
    assert found.value.index == 1


def test_only_the_last_segment_may_be_torn(tmp_path):
    first, last = made(tmp_path, 0, [b"a", b"b"]), made(tmp_path, 2, [b"c"])
    last.write_bytes(last.read_bytes()[:-1])
    assert [torn != b"" for _, _, torn in segments.read_segments(tmp_path)] == [False, True]
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(LogDamaged, match=r"entry 1 .* a later file follows") as found:
        list(segments.read_segments(tmp_path))
    assert found.value.index == 1


def test_a_segment_with_another_name_or_header_is_damage(tmp_path):
    path = made(tmp_path, 5, [b"a"])
    path.rename(segments.segment_path(tmp_path, 6))
    with pytest.raises(LogDamaged, match="damaged beginning") as found:
        segments.read_segment(segments.segment_path(tmp_path, 6))
    assert found.value.index == 6


def test_a_header_that_is_cut_is_a_torn_tail(tmp_path):
    path = made(tmp_path, 3, [b"a"])
    path.write_bytes(path.read_bytes()[:31])
    ((_, found, torn),) = segments.read_segments(tmp_path)
    assert (found.first_index, found.payloads, len(torn)) == (3, [], 31)


def test_a_rewritten_segment_says_of_all_entries_that_they_are_durable(tmp_path):
    path = made(tmp_path, 0, [b"a", b"b", b"c"])
    data = bytearray(path.read_bytes())
    data[frames.HEADER_BYTES + 28] ^= 1
    path.write_bytes(data)
    with pytest.raises(LogDamaged, match=r"entry 0 .* this is no torn tail") as found:
        segments.read_segment(path)
    assert found.value.index == 0


def test_the_same_tail_goes_into_quarantine_once(tmp_path):
    folder = tmp_path / "quarantine"
    for _ in range(3):
        path = segments.put_into_quarantine(folder, 4, b"torn")
    assert list(folder.iterdir()) == [path]
    assert path.read_bytes() == b"torn"
    assert path.name.startswith("00000000000000000004-")
