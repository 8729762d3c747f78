"""The file of legal holds: what each covers, and words for what is wrong in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serve.errors import StartupError
from serve.governance.audit.retention.holds import Hold, holding, load

FILE = """\
[[hold]]
name = "case-1"
tenant = "research"
owner = "kim"
from = 2026-03-01
to = 2026-04-01T12:00:00+02:00

[[hold]]
name = "all"
everything = true
"""


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "holds.toml"


def test_holds_are_read_with_their_days_in_utc(path):
    path.write_text(FILE)
    first, second = load(path)
    assert (first.first, first.last) == (at("2026-03-01"), at("2026-04-01T10:00"))
    assert second == Hold(name="all")


@pytest.mark.parametrize(
    ("tenant", "owner", "when", "name"),
    [
        ("research", "kim", "2026-03-01", "case-1"),
        ("research", "kim", "2026-04-01T09:59:59", "case-1"),
        ("research", "kim", "2026-04-01T10:00", None),
        ("research", "kim", "2026-02-28T23:59:59", None),
        ("research", "lee", "2026-03-05", None),
        ("research", None, "2026-03-05", None),
        (None, None, "2026-03-05", None),
    ],
)
def test_a_hold_covers_what_it_says(path, tenant, owner, when, name):
    path.write_text(FILE.partition("\n\n")[0])
    found = holding(load(path), tenant, owner, at(when))
    assert (found and found.name) == name


def test_a_subject_is_covered_whatever_the_times(path):
    path.write_text(FILE.partition("\n\n")[0])
    (hold,) = load(path)
    assert hold.covers_subject("research", "kim")
    assert hold.covers_subject("research", None)
    assert not hold.covers_subject("research", "lee")
    assert not hold.covers_subject("legal", "kim")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[hold]]\nname = 'x'", "names tenant, owner, from or to"),
        ("[[hold]]\nname = 'x'\ntenant = 't'\neverything = true", "and nothing else"),
        ("[[hold]]\ntenant = 't'", "hold.0.name"),
        ("[[hold]]\nname = 'x'\ntenants = 't'", "no such key. Did you mean tenant"),
        ("[[holds]]\nname = 'x'", "no such key. Did you mean hold"),
        ("[[hold]]\nname = 'x'\nfrom = 2026-03-02\nto = 2026-03-01", "from is not before to"),
        ("[[hold]]\nname = 'x'\nfrom = 'march'", "hold.0.from"),
        (FILE.replace('"all"', '"case-1"'), "'case-1' stands there twice"),
        ("[[hold]", "is no TOML"),
    ],
)
def test_what_is_wrong_is_said(path, text, why):
    path.write_text(text)
    with pytest.raises(StartupError, match=why):
        load(path)


def test_a_file_that_is_not_there_holds_nothing_up_silently(path):
    with pytest.raises(StartupError, match="is not there"):
        load(path)
