"""Reports built from settings: by connections of their own, in the zone of the budgets."""

from __future__ import annotations

import pytest

from serve.composition.usage import REPORT_S, open_usage, reading_place, time_zone_of
from serve.config import Config
from serve.errors import StartupError
from serve.governance.usage.query import UsageQuery
from serve.storage.places import PostgresqlServer


async def test_without_a_ledger_there_is_no_report(tmp_path):
    async with open_usage(Config(state_dir=tmp_path), time_zone="UTC", is_kept=False) as usage:
        assert usage is None
    assert list(tmp_path.iterdir()) == []


async def test_a_report_is_of_the_settings_database(database_file):
    settings = Config(state_dir=database_file.parent)
    async with open_usage(settings, time_zone="Europe/Berlin", is_kept=True) as usage:
        assert (await usage.everyone(UsageQuery())).time_zone == "Europe/Berlin"


def test_a_report_may_take_longer_than_a_request():
    server = PostgresqlServer(conninfo="host=x")
    patient = reading_place(server)
    assert patient.patience.answer_s == REPORT_S > server.patience.answer_s
    assert patient.conninfo == server.conninfo


def test_the_zone_is_the_limits_files(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text('time_zone = "Asia/Shanghai"\n')
    assert time_zone_of(path) == "Asia/Shanghai"
    assert time_zone_of(None) == "UTC"
    path.write_text("")
    assert time_zone_of(path) == "UTC"


@pytest.mark.parametrize("text", ['time_zone = "Mars/Base"', 'time_zone = "../etc"', "x"])
def test_a_zone_that_is_none(tmp_path, text):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(StartupError, match="names no time zone"):
        time_zone_of(path)
    with pytest.raises(StartupError, match="cannot be read"):
        time_zone_of(tmp_path / "none")
