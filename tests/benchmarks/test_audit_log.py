"""The audit log's benchmark writes what it says, and reports it."""

from __future__ import annotations

import argparse

from benchmarks.audit_log import measure


async def test_all_records_are_written_and_verified(tmp_path):
    options = argparse.Namespace(
        folder=tmp_path / "log", writers=4, records=40, bytes=30, steps=2, hz=1000.0
    )
    report = await measure(options)
    assert report["verify"]["entries"] == 40 + 4 * 2
    assert report["verify"]["is_ok"]
    assert report["fast"]["p50_ms"] <= report["fast"]["p99_ms"]
    assert report["bursts"].keys() == report["fast"].keys() | {"cpu_us_of_tasks_alone"}
