"""A day's requests, made up or read."""

from __future__ import annotations

import pytest

from benchmarks.scaling.arrivals import Request, office_day, read


def test_a_made_up_day_is_the_same_for_the_same_seed_and_quiet_at_night():
    day = office_day(peak=0.5, mean_tokens=100, seed=1)
    assert day == office_day(peak=0.5, mean_tokens=100, seed=1)
    assert day != office_day(peak=0.5, mean_tokens=100, seed=2)
    by_hour = [sum(int(each.at_s // 3600) == hour for each in day) for hour in range(24)]
    assert sum(by_hour[:5]) < 10 < by_hour[10] > by_hour[12]
    assert sum(each.tokens for each in day) / len(day) == pytest.approx(100, rel=0.1)


def test_a_day_is_read_in_any_order_and_slips_are_named(tmp_path):
    file = tmp_path / "day.jsonl"
    file.write_text('{"at_s": 9, "tokens": 3}\n\n{"at_s": 1.5, "tokens": 7}\n')
    assert read(file) == [Request(at_s=1.5, tokens=7), Request(at_s=9, tokens=3)]
    for slip in ('{"at_s": 1}', "[]", '{"at_s": -1, "tokens": 1}', '{"at_s": 1, "tokens": 0}'):
        file.write_text('{"at_s": 9, "tokens": 3}\n' + slip)
        with pytest.raises(ValueError, match="line 2"):
            read(file)
    file.write_text("")
    with pytest.raises(ValueError, match="no request"):
        read(file)
