"""The ids by which feedback names an answer."""

from __future__ import annotations

import pytest

from serve.governance.feedback.feedback import iso_time, request_id_of

DIGITS = "0123456789abcdef" * 2


@pytest.mark.parametrize("prefix", ["chatcmpl-", "cmpl-", "req-", "resp_", ""])
def test_every_family_s_id_is_its_request_s(prefix: str) -> None:
    assert request_id_of(prefix + DIGITS) == f"req-{DIGITS}"


@pytest.mark.parametrize(
    "answer_id", ["", "req-", f"req-{DIGITS[1:]}", f"req-{DIGITS.upper()}", f"a-b-{DIGITS}\n"]
)
def test_what_is_no_id(answer_id: str) -> None:
    assert request_id_of(answer_id) is None


def test_times_are_told_in_utc() -> None:
    assert iso_time(1_500) == "1970-01-01T00:00:01.500+00:00"
