"""What the plans came to: quantiles by the nearest rank, hours of GPUs, and a table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.scaling import report
from benchmarks.scaling.simulation import Outcome, Plan


def outcome(times: list[float], **facts) -> Outcome:
    plan = Plan(name="static 3", fixed=3)
    return Outcome(plan=plan, first_token_s=times, replica_s=7200.0, **facts)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.74, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_a_quantile_is_one_of_the_values(share, value) -> None:
    assert report.quantile([1.0, 2.0, 3.0, 4.0], share) == value


def test_nothing_has_no_quantile_and_others_are_to_the_millisecond() -> None:
    assert report.quantile([], 0.5) is None
    assert report.quantile([0.12345], 1.0) == 0.123


def test_a_row_counts_refusals_against_the_target_and_every_gpu() -> None:
    row = report.row(outcome([3.0, 1.0, 0.5], num_refused=1), target_s=2.0, gpus=4)
    assert row["attainment"] == 0.5
    assert row["gpu_hours"] == 8.0
    assert (row["num_answered"], row["num_refused"]) == (3, 1)
    assert (row["ttft_p50_s"], row["ttft_max_s"]) == (1.0, 3.0)


def test_a_fixed_plan_has_as_many_replicas_as_it_says_and_others_the_most_seen() -> None:
    assert report.row(outcome([]), target_s=1, gpus=1)["most_replicas"] == 3
    seen = outcome([], counts=[(15.0, 2), (30.0, 7), (45.0, 4)])
    assert report.row(seen, target_s=1, gpus=1)["most_replicas"] == 7


def test_a_day_without_requests_is_a_table_too() -> None:
    rows = [report.row(outcome([]), target_s=2.0, gpus=1)]
    console = Console(file=io.StringIO(), width=120)
    console.print(report.table(rows, target_s=2.0))
    text = console.file.getvalue()
    for words in ("within 2 s", "static 3", "100.00%", "2.0"):
        assert words in text
    assert text.split()[-3:] == ["-", "-", "-"]
