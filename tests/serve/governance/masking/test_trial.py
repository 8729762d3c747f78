"""A trial says where rules hit, and shows no more than it is asked to."""

from __future__ import annotations

from serve.governance.masking.masking_file import parse_rules
from serve.governance.masking.trial import tried

RULES = parse_rules('[default]\nmask = ["email"]\nblock = ["mobile_phone"]\ncount = ["plate"]')


def test_places_are_those_of_the_text_as_it_was_written() -> None:
    trial = tried("a\n你\u200b１３８００１３８０００ b@example.com 京A12345", RULES.default)
    assert trial.text == "a\n你\u200b[PHONE] [EMAIL] 京A12345"
    assert [(hit.rule, hit.action, hit.line, hit.column, hit.size) for hit in trial.hits] == [
        ("mobile_phone", "block", 2, 3, 11),
        ("email", "mask", 2, 15, 13),
        ("plate", "count", 2, 29, 7),
    ]
    assert trial.hits[1].value == "b@example.com"
    assert trial.blocked_by == "mobile_phone"
    assert tried("nothing", RULES.default).blocked_by is None
