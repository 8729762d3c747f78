"""Limits that are in force: where rates are counted, and a folder that takes no usage."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.composition.counted_limits import open_counted_limits
from serve.composition.stores import open_stores
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics


async def test_what_is_opened_is_closed_at_the_end(tmp_path: Path) -> None:
    config, metrics = Config(state_dir=tmp_path / "state", usage_ledger=True), Metrics()
    async with open_stores(config, metrics) as stores:
        assert stores.database is not None
        async with open_counted_limits(
            config, stores, stores.database, metrics, None, knows_others=False, also=()
        ) as (_, rules):
            assert rules.rules.limits == ()
        assert "intramural_reservations_held 0.0" in metrics.render()[0].decode()


async def test_a_server_that_counts_for_replicas_is_in_the_metrics(tmp_path: Path) -> None:
    url = tmp_path / "cache"
    url.write_text("redis://127.0.0.1:1/0")
    url.chmod(0o600)
    config = Config(state_dir=tmp_path / "state", usage_ledger=True, cache_url_file=url)
    metrics = Metrics()
    async with open_stores(config, metrics) as stores:
        assert stores.database is not None
        async with open_counted_limits(
            config, stores, stores.database, metrics, None, knows_others=False, also=()
        ):
            assert "intramural_limits_shared 1.0" in metrics.render()[0].decode()


async def test_a_state_folder_that_takes_no_file_ends_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    config, metrics = Config(state_dir=state, usage_ledger=True), Metrics()
    async with open_stores(config, metrics) as stores:
        assert stores.database is not None
        (state / "usage-spool-0.jsonl").mkdir()
        with pytest.raises(StartupError, match=r"Usage could not be kept in .*state"):
            async with open_counted_limits(
                config, stores, stores.database, metrics, None, knows_others=False, also=()
            ):
                pass
