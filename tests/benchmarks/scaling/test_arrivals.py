"""A day's requests, made up or read."""

from __future__ import annotations

import pytest

from benchmarks.scaling.arrivals import DAY_S, Request, office_day, office_rate, read


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


def test_the_rate_peaks_twice_and_never_exceeds_its_peak() -> None:
    rates = [office_rate(at, peak=3.0) for at in range(0, int(DAY_S), 60)]
    assert max(rates) == pytest.approx(3.0)
    assert office_rate(10.5 * 3600, peak=3.0) == office_rate(15 * 3600, peak=3.0) == 3.0
    assert office_rate(12.5 * 3600, peak=3.0) < 1.5
    assert office_rate(0, peak=3.0) < 1e-6


def test_a_made_up_day_is_in_order_and_every_answer_has_a_token() -> None:
    day = office_day(peak=0.05, mean_tokens=1, seed=3)
    assert [each.at_s for each in day] == sorted(each.at_s for each in day)
    assert all(0 <= each.at_s < DAY_S and each.tokens >= 1 for each in day)
