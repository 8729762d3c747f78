"""Alerts built from settings: sent while the server runs, refused where nothing can be told."""

from __future__ import annotations

import asyncio

import pytest

from serve.composition.alerts import open_alerts
from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError
from serve.governance.alerts.rules import crossed
from serve.observe.metrics import Metrics
from serve.storage.alert_outbox import enqueue_in
from serve.storage.database import Database
from serve.storage.places import SqliteFile
from tests.serve.governance.alerts.receivers import receiving

FILE = """
thresholds = [50]
[webhook]
url = "http://127.0.0.1:{port}/"
address = "127.0.0.1"
port = {port}
allow_http = true
secret_file = "secret"
"""


def config(folder, port: int = 9) -> Config:
    (folder / "secret").write_text("s" * 32)
    (folder / "secret").chmod(0o600)
    (folder / "alerts.toml").write_text(FILE.format(port=port))
    return Config(alerts_file=folder / "alerts.toml")


async def test_without_a_file_there_is_nothing():
    async with open_alerts(Config(), Stores(), Metrics()) as also:
        assert also == ()


async def test_without_budgets_there_is_nothing_to_tell(tmp_path):
    with pytest.raises(StartupError, match="add --limits-file"):
        async with open_alerts(config(tmp_path), Stores(), Metrics()):
            pass


async def test_a_wrong_file_ends_the_start(tmp_path):
    (tmp_path / "alerts.toml").write_text("thresholds = []")
    with pytest.raises(StartupError, match=r"alerts\.toml: thresholds"):
        async with open_alerts(Config(alerts_file=tmp_path / "alerts.toml"), Stores(), Metrics()):
            pass


async def test_what_is_in_the_outbox_is_sent_and_counted(tmp_path, database_file):
    database = Database(SqliteFile(path=database_file))
    metrics = Metrics()
    (alert,) = crossed("a", 10, 0, 5, [50])
    await database.write(lambda c: enqueue_in(c, alert, ["webhook"]))
    async with receiving() as receiver:
        settings = config(tmp_path, receiver.port)
        async with open_alerts(settings, Stores(database=database), metrics) as also:
            assert len(also) == 1
            async with asyncio.timeout(20):
                while b'alerts_sent_total{channel="webhook"} 1.0' not in metrics.render()[0]:
                    await asyncio.sleep(0.001)
        assert len(receiver.posted) == 1
    await database.close()
