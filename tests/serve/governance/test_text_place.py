"""Places in a text."""

from __future__ import annotations

from serve.governance.text_place import line_and_column


def test_lines_and_columns_begin_at_one() -> None:
    found = [line_and_column("ab\nc\n\nd", at) for at in (0, 1, 3, 6)]
    assert found == [(1, 1), (1, 2), (2, 1), (4, 1)]
