"""Limits built from settings: what they open, what they are told of keys, and what they close."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serve.composition.limits import needs_ledger, open_limits
from serve.composition.stores import open_stores
from serve.config import Config
from serve.errors import InsufficientQuota, InternalError, StartupError
from serve.governance.identity import key_changes, keys
from serve.governance.identity.key_changes import NewKey
from serve.governance.identity.keys import KeyRing
from serve.governance.pass_through import NoLimits
from serve.governance.principal import Principal
from serve.governance.reservations import Demand
from serve.observe.metrics import Metrics
from tests.serve.governance.limits.limited import record_of


async def test_without_settings_there_is_nothing(tmp_path: Path) -> None:
    config, metrics = Config(state_dir=tmp_path / "state"), Metrics()
    async with (
        open_stores(config, metrics) as stores,
        open_limits(config, stores, metrics, None) as limits,
    ):
        assert isinstance(limits.reservations, NoLimits)
        assert (limits.weight_of("a"), limits.time_zone) == (1, "UTC")
    assert not (tmp_path / "state").exists()


def test_a_ledger_is_kept_where_something_asks_for_it(tmp_path: Path) -> None:
    assert not needs_ledger(Config())
    assert needs_ledger(Config(usage_ledger=True))
    assert needs_ledger(Config(api_keys="database"))  # their limits are to be counted
    assert needs_ledger(Config(limits_file=tmp_path))
    assert needs_ledger(Config(database_url_file=tmp_path))
    assert needs_ledger(Config(api_keys="database"))


async def test_limits_of_keys_that_nothing_counts_are_no_silent_ones(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    wish = NewKey(name="ci", tenant="ward", owner="ann", limits={})
    entry, _ = key_changes.made(wish, None)
    keys.change(path, lambda known: (*known, entry), None, may_be_new=True)
    config, metrics = Config(state_dir=tmp_path / "state", api_key_file=path), Metrics()
    ring = KeyRing.load(path)
    ann = Principal(key_id=entry.key_id, name="ci", tenant="ward", owner="ann")
    async with (
        open_stores(config, metrics) as stores,
        open_limits(config, stores, metrics, ring) as limits,
    ):
        await limits.reservations.check(ann, "demo")
        limited = replace(entry, limits={"tokens_per_day": 10})
        keys.change(path, lambda _: (limited,), None)
        ring.reload()
        with pytest.raises(InternalError, match="limits cannot be counted"):
            await limits.reservations.check(ann, "demo")
        with pytest.raises(StartupError, match=r"nothing counts them\. Start with --usage-ledger"):
            async with open_limits(config, stores, metrics, ring):
                pass


async def test_keys_of_the_ring_have_limits_and_a_file_may_name_them(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    wish = NewKey(name="ci", tenant="ward", owner="ann", limits={"tokens_per_day": 10})
    entry, _ = key_changes.made(wish, None)
    keys.change(path, lambda known: (*known, entry), None, may_be_new=True)
    ring, key_id = KeyRing.load(path), entry.key_id
    file = tmp_path / "limits.toml"
    file.write_text(
        f'[tenants.ward]\nweight = 4\n[[limits]]\nname = "x"\nkey = "{key_id}"\nuser = "ann"\n'
        'tenant = "ward"\nmodel = "second"\nrequests_per_minute = 9\n'
    )
    config = Config(
        state_dir=tmp_path / "state", limits_file=file, served_model_name=("first", "second")
    )
    metrics = Metrics()
    async with (
        open_stores(config, metrics) as stores,
        open_limits(config, stores, metrics, ring) as limits,
    ):
        assert limits.weight_of("ward") == 4
        ann = Principal(key_id=key_id, name="ci", tenant="ward", owner="ann")
        demand = Demand(model="first", prompt_tokens=9, max_completion_tokens=9, num_sequences=1)
        with pytest.raises(InsufficientQuota, match="of this key"):
            await limits.reservations.reserve(ann, record_of(), demand)
        shown = metrics.render()[0].decode()
        assert 'limit_refusals_total{kind="tokens_per_day",limit="key"} 1.0' in shown
        assert "intramural_limits_file_usable 1.0" in shown
        assert "intramural_usage_spool_requests 0.0" in shown
        assert 'limit_refusals_total{kind="requests_per_minute",limit="x"} 0.0' in shown
        file.write_text("x =")  # nobody asks, and the metric says so all the same
        assert "intramural_limits_file_usable 0.0" in metrics.render()[0].decode()


async def test_a_file_that_names_what_is_not_there_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "limits.toml"
    file.write_text('[[limits]]\nname = "x"\nmodel = "other"\nrequests_per_minute = 9\n')
    config, metrics = Config(state_dir=tmp_path, limits_file=file), Metrics()
    async with open_stores(config, metrics) as stores:
        with pytest.raises(StartupError, match="not served here"):
            async with open_limits(config, stores, metrics, None):
                pass
