from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle.index import num_parts
from models.bundle.stream import spans
from models.trust.manifest_files import FileEntry


def files_of(*sizes: int) -> list[FileEntry]:
    return [
        FileEntry(path=f"f{number}", size=size, sha256="0" * 64)
        for number, size in enumerate(sizes)
    ]


def stretch(sizes: tuple[int, ...], begin: int, end: int) -> list[tuple[str, int, int]]:
    return [(span.file.path, span.begin, span.size) for span in spans(files_of(*sizes), begin, end)]


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=8),
    split=st.integers(1, 60),
)
def test_spans_cover_the_stream_once_and_in_order(sizes, split):
    files = files_of(*sizes)
    total = sum(sizes)
    covered = []
    for number in range(num_parts(total, split)):
        found = list(spans(files, number * split, min(total, (number + 1) * split)))
        assert 0 < sum(span.size for span in found) <= split
        covered += [(span.file.path, span.begin + at) for span in found for at in range(span.size)]
    assert covered == [(file.path, at) for file in files for at in range(file.size)]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 10, [("f0", 0, 10)]),
        (10, 15, [("f2", 0, 5)]),  # the empty file between the two is in none
        (9, 11, [("f0", 9, 1), ("f2", 0, 1)]),
        (2, 5, [("f0", 2, 3)]),
        (10, 10, []),
        (15, 99, []),
        (0, 99, [("f0", 0, 10), ("f2", 0, 5)]),
    ],
)
def test_a_stretch_begins_and_ends_within_files(begin, end, expected):
    assert stretch((10, 0, 5), begin, end) == expected


def test_no_files_have_no_bytes():
    assert stretch((), 0, 10) == []
