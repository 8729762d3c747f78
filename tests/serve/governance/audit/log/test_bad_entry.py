"""What does not hold is told with its place."""

from __future__ import annotations

import pytest

from serve.governance.audit.log.bad_entry import BadEntry, BadEntryFound


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (7, "entry 7: its hash differs (tile/0/000)"),
        (0, "entry 0: its hash differs (tile/0/000)"),
        (None, "the log: its hash differs (tile/0/000)"),
    ],
)
def test_the_words_of_a_finding(index, text):
    assert str(BadEntry(index, "tile/0/000", "its hash differs")) == text
    found = BadEntryFound(index, "tile/0/000", "its hash differs")
    assert str(found) == text
    assert found.bad == BadEntry(index, "tile/0/000", "its hash differs")
