"""Places in a text."""

from __future__ import annotations

from serve.governance.text_place import Lines


def test_lines_and_columns_begin_at_one() -> None:
    found = [Lines("ab\nc\n\nd").place(at) for at in (0, 1, 2, 3, 6)]
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1), (4, 1)]
