"""Rules tried on a text: all hits, by their places as they were written."""

from __future__ import annotations

from serve.governance.filtering.trial import tried
from tests.serve.governance.filtering.rule_texts import RULES


def test_every_hit_is_told_once_in_order() -> None:
    hits = tried("ＢＡＤ u\u200bgh\nab 123z 456z", RULES)
    assert [(hit.rule.name, hit.line, hit.column, hit.value) for hit in hits] == [
        ("whole", 1, 1, "ＢＡＤ"),
        ("anywhere", 1, 5, "u\u200bgh"),
        ("seen", 2, 1, "ab"),
        ("digits", 2, 4, "123z"),
        ("digits", 2, 9, "456z"),
    ]
    assert tried("", RULES) == ()
