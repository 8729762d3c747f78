"""Debian's Prometheus on loopback, scraping our servers with a key as the PodMonitor does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.e2e.server import free_port
from tests.monitoring.rule_files import Rules
from tests.programs import find, needs

JOB = "intramural"
START_S = 30.0
LOOK_S = 0.2
LOOKBACK_S = 300
"""Prometheus' own, for which a series lives on without a scrape; it is divided like the rest."""

needs_prometheus = needs("prometheus")


@dataclass(frozen=True)
class Prometheus:
    """A running one.

    Attributes:
        log: what it wrote.
    """

    url: str
    log: Path

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": promql}, verify=False)
        assert answer.status_code == httpx.codes.OK, f"{promql}: {answer.text}"
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def alerts(self) -> dict[str, set[str]]:
        """The states, ``pending`` or ``firing``, that each alert is in now."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", verify=False)
        states: dict[str, set[str]] = {}
        for alert in answer.json()["data"]["alerts"]:
            states.setdefault(alert["labels"]["alertname"], set()).add(alert["state"])
        return states

    def firing(self) -> set[str]:
        return {name for name, states in self.alerts().items() if "firing" in states}

    def ever(self, state: str) -> set[str]:
        """The alerts that were ``pending`` or ``firing`` at any time of the last hour."""
        was = f'count by (alertname) (count_over_time(ALERTS{{alertstate="{state}"}}[1h]))'
        return {each["metric"]["alertname"] for each in self.query(was)}

    def until(self, is_so: Callable[[], bool], what: str, *, within_s: float) -> None:
        """Look until it is so. Raises AssertionError where that takes longer."""
        deadline = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s:g} s: {what}; alerts: {self.alerts()}")
            time.sleep(LOOK_S)

    def until_scraped(self, num_targets: int, num_scrapes: int) -> None:
        """Wait until so many targets were each seen up so many times."""
        counts = f"count (sum_over_time(up[1h]) >= {num_scrapes}) >= {num_targets}"
        self.until(lambda: bool(self.query(counts)), f"{num_scrapes} scrapes", within_s=60)


@contextmanager
def prometheus(
    folder: Path,
    rules: Rules,
    ports: Sequence[int],
    *,
    key: str,
    interval_s: float = 15.0,
    factor: int = 1,
    is_tls: bool = False,
) -> Iterator[Prometheus]:
    """Run it until the context is left.

    Args:
        folder: for its configuration, data and log; an empty one.
        ports: of the servers, on loopback.
        key: an API key of theirs.
        interval_s: between scrapes, and between evaluations; the longest that a scrape may take.
        factor: by which the rules' durations were divided.
        is_tls: the servers speak HTTPS. Their certificates are not checked: some have ended.
    """
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules), "utf-8")
    (folder / "key").write_text(key, "utf-8")
    interval = f"{round(interval_s * 1000)}ms"
    configuration = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": JOB,
                "scrape_timeout": interval,
                "scheme": "https" if is_tls else "http",
                "tls_config": {"insecure_skip_verify": True},
                "authorization": {"type": "Bearer", "credentials_file": "key"},
                "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), "utf-8")
    port, log = free_port(), folder / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                str(find("prometheus")),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--query.lookback-delta={LOOKBACK_S * 1000 // factor}ms",
                "--log.level=warn",
            ],
            stdout=output,
            stderr=output,
        )
    running = Prometheus(f"http://127.0.0.1:{port}", log)
    try:
        running.until(lambda: _is_ready(running), f"ready: {log.read_text()}", within_s=START_S)
        yield running
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(running: Prometheus) -> bool:
    try:
        return httpx.get(f"{running.url}/-/ready", verify=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
