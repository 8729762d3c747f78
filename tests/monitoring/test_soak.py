"""Ten minutes of ordinary traffic: no alert fires, neither of the rules as shipped nor 30 times as
fast, for which ten minutes are five hours.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.monitoring import rule_files
from tests.monitoring.prometheus import needs_prometheus, prometheus
from tests.monitoring.site import site

SOAK_S = 600
FACTOR = 30


@needs_prometheus
def test_ten_ordinary_minutes_are_silent(tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("takes ten minutes: make prove")
    folders = [tmp_path / name for name in ("servers", "shipped", "fast")]
    for folder in folders:
        folder.mkdir()
    with site(folders[0]) as servers:
        callers = [
            servers.ask(servers.start("--model", "demo")),
            servers.ask(servers.fake(), 2),
        ]
        with (
            prometheus(
                folders[1], rule_files.shipped(), servers.ports, key=servers.key
            ) as as_shipped,
            prometheus(
                folders[2],
                rule_files.scaled(FACTOR),
                servers.ports,
                key=servers.key,
                interval_s=1,
                factor=FACTOR,
            ) as fast,
        ):
            time.sleep(SOAK_S)
            for watching, num_scrapes in ((as_shipped, SOAK_S / 15), (fast, SOAK_S)):
                print(f"\npending at any time: {sorted(watching.ever('pending'))}")
                assert watching.ever("firing") == set()
                seen = watching.query("min (sum_over_time(up[1h]))")
                assert float(seen[0]["value"][1]) > 0.95 * num_scrapes
    for each in callers:
        each.stop()
        assert set(each.statuses) == {200}
        print(f"answers: {each.statuses[200]}")
