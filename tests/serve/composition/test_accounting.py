"""Accounting built from settings: alerts, limits and reports are of one ledger."""

from __future__ import annotations

from serve.composition.accounting import open_accounting
from serve.composition.stores import open_stores
from serve.config import Config
from serve.governance.usage_query import UsageQuery
from serve.observe.metrics import Metrics


async def test_without_a_need_there_is_nothing(tmp_path):
    config, metrics = Config(state_dir=tmp_path / "state"), Metrics()
    async with (
        open_stores(config, metrics) as stores,
        open_accounting(config, stores, metrics, None) as accounting,
    ):
        assert accounting.usage is None
    assert list(tmp_path.iterdir()) == []


async def test_reports_are_in_the_zone_of_the_limits(tmp_path):
    (tmp_path / "limits.toml").write_text('time_zone = "Asia/Shanghai"\n')
    config = Config(state_dir=tmp_path / "state", limits_file=tmp_path / "limits.toml")
    metrics = Metrics()
    async with (
        open_stores(config, metrics) as stores,
        open_accounting(config, stores, metrics, None) as accounting,
    ):
        assert accounting.usage is not None
        report = await accounting.usage.everyone(UsageQuery())
        assert (report.time_zone, report.groups) == ("Asia/Shanghai", ())
