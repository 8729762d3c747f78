"""Each alert fires under its fault and clears when that has ended, on a real Prometheus.

Every duration of the rules (`for` and windows) is divided by 30, or what `PACE` says, so that half
an hour is a minute; Prometheus scrapes each second instead of every 15. Expressions and thresholds
are as shipped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.monitoring import rule_files
from tests.monitoring.faults import FAULTS
from tests.monitoring.prometheus import needs_prometheus, prometheus
from tests.monitoring.site import site

NUM_QUIET_SCRAPES = 5


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a fault is watched.

    Attributes:
        factor: by which durations are divided.
        interval_s: between scrapes.
        within_s: the longest until the alert fires, and until it is clear.
    """

    factor: int = 30
    interval_s: float = 1.0
    within_s: float = 60.0


PACE = {
    # Half an hour is a minute, until it fires and until it clears.
    "IntramuralNotReady": Pace(within_s=120),
    "IntramuralRestarting": Pace(within_s=120),
    "IntramuralRuleHitsRise": Pace(within_s=90),
    "IntramuralAuditNotCosigned": Pace(within_s=150),
    # An answer may take longer than a second, and a scrape no longer than the interval.
    "IntramuralServerSlow": Pace(factor=10, interval_s=5, within_s=150),
}


def test_every_alert_has_a_fault() -> None:
    assert set(FAULTS) == set(rule_files.names())
    assert set(PACE) <= set(FAULTS)


@needs_prometheus
@pytest.mark.parametrize("alert", FAULTS)
def test_it_fires_under_its_fault_and_clears(alert: str, tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("29 faults, a minute each: make prove")
    pace = PACE.get(alert, Pace())
    folders = [tmp_path / name for name in ("servers", "prometheus", "fault")]
    for folder in folders:
        folder.mkdir()
    with site(folders[0]) as servers:
        fault = FAULTS[alert](servers, folders[2])
        next(fault)
        with prometheus(
            folders[1],
            rule_files.scaled(pace.factor),
            servers.ports,
            key=servers.key,
            interval_s=pace.interval_s,
            factor=pace.factor,
            is_tls=servers.is_tls,
        ) as watching:
            watching.until_scraped(len(servers.ports), NUM_QUIET_SCRAPES)
            assert watching.alerts() == {}
            next(fault)
            began = time.monotonic()
            watching.until(
                lambda: alert in watching.firing(), f"{alert} fires", within_s=pace.within_s
            )
            fired, beside = time.monotonic(), sorted(watching.firing() - {alert})
            next(fault, None)
            watching.until(
                lambda: alert not in watching.alerts(), f"{alert} is clear", within_s=pace.within_s
            )
            clear = time.monotonic()
            print(f"\n{alert}: {fired - began:.0f} s, clear {clear - fired:.0f} s; beside {beside}")
            for state in ("pending", "firing"):
                assert alert in watching.ever(state)
