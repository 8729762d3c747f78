"""The dashboard: Grafana's form, queries that Prometheus parses, and a series for each of them.

Grafana itself was not at hand.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.observe.families import FAMILIES, PREFIX
from tests.certificates import Authority
from tests.k8s.manifests import get, needs_kubectl, render
from tests.monitoring import rule_files
from tests.monitoring.prometheus import JOB, needs_prometheus, prometheus
from tests.monitoring.site import site
from tests.programs import find, needs

FILE = rule_files.FILE.with_name("dashboard.json")
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
UNITS = {"short", "reqps", "s", "percentunit", "bytes", "bool_yes_no"}
"""Those of Grafana's units that we use."""
NOT_DRAWN = {f"{PREFIX}arm_info"}
"""A label for others to join with, absent without an experiment."""


def queries() -> Iterator[tuple[str, str]]:
    """Title and PromQL of each query as Grafana sends it with all jobs chosen."""
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$job", JOB)
            yield panel["title"], query


def test_the_form_is_grafanas() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    assert "id" not in DASHBOARD, "a number of the Grafana that it is loaded into"
    assert {"uid", "title", "templating", "panels", "time"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles))
    for panel in PANELS:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(refs) == len(set(refs))
        assert all(target["legendFormat"] for target in panel["targets"])


def test_every_panel_asks_the_chosen_source_for_the_chosen_job() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["job"]["datasource"] == source
    for panel in PANELS:
        assert panel["datasource"] == source
        for target in panel["targets"]:
            assert target["datasource"] == source
            assert 'job=~"$job"' in target["expr"]
            unknown = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", *variables}
            assert unknown == set()


def test_panels_lie_within_the_grid_and_not_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


def test_it_draws_every_metric_and_no_other() -> None:
    known = {family.name for family in FAMILIES}
    text = "\n".join(query for _, query in queries())
    named = {
        re.sub("_(bucket|count|sum)$", "", name)
        for name in re.findall(rf"\b{PREFIX}[a-z_]+\b", text)
    }
    assert named == known - NOT_DRAWN


@needs("promtool")
def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query} for number, (_, query) in enumerate(queries())
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    ran = subprocess.run(
        [str(find("promtool")), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_kubectl
def test_the_component_ships_it_where_grafanas_sidecar_looks() -> None:
    shipped = get(render("variants/hpa"), "ConfigMap", "intramural-grafana")
    assert shipped["metadata"]["name"] == "intramural-grafana-dashboard"
    assert shipped["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert shipped["data"] == {FILE.name: FILE.read_text("utf-8")}


@needs_prometheus
def test_every_query_has_a_series_from_a_real_scrape(tmp_path: Path, is_proving: bool) -> None:
    """After answers and nothing but answers: errors, deaths and queues are there as 0."""
    if not is_proving:
        pytest.skip("takes a server and Prometheus: make prove")
    folders = [tmp_path / name for name in ("servers", "prometheus")]
    for folder in folders:
        folder.mkdir()
    with site(folders[0]) as servers:
        issued = Authority(folders[0]).issue()
        tls = ["--ssl-certfile", str(issued.chain), "--ssl-keyfile", str(issued.secret)]
        callers = servers.ask(servers.start("--model", "demo", *tls), 2)
        with prometheus(
            folders[1],
            rule_files.shipped(),
            servers.ports,
            key=servers.key,
            interval_s=1,
            is_tls=True,
        ) as watching:
            watching.until_scraped(1, 10)
            callers.stop()
            found = [(title, query, watching.query(query)) for title, query in queries()]
            assert [(title, query) for title, query, series in found if not series] == []
            undefined = [
                (title, series["metric"])
                for title, _, several in found
                for series in several
                if series["value"][1] in {"NaN", "+Inf", "-Inf"}
            ]
            assert undefined == []
    assert set(callers.statuses) == {200}
