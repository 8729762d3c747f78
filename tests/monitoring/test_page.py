"""docs/monitoring.md has a row and a section for each alert, and what it shows works."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.house.tree import ROOT
from tests.monitoring import rule_files
from tests.monitoring.prometheus import JOB
from tests.programs import find, needs

PAGE = (ROOT / "docs/monitoring.md").read_text("utf-8")
RULES = {rule["alert"]: rule for rule in rule_files.alerts(rule_files.shipped())}
ROW = re.compile(r"^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \| (\w+) \| ", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """Of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def test_the_table_has_each_alert_as_the_rules_have_it() -> None:
    rows = {name: (severity, after) for name, _, severity, after in ROW.findall(PAGE)}
    assert rows == {name: (rule["labels"]["severity"], rule["for"]) for name, rule in RULES.items()}


def test_every_runbook_and_every_link_within_the_page_resolves() -> None:
    there = anchors(PAGE)
    for rule in RULES.values():
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in there
        assert (ROOT / page).read_text("utf-8") == PAGE
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= there
    assert "buckets" in anchors((ROOT / "docs/metrics.md").read_text("utf-8"))


def test_every_alert_s_section_says_more_than_its_name() -> None:
    sections = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL))
    assert sections.keys() == RULES.keys()
    assert min(map(len, sections.values())) > 120


@needs("promtool")
def test_the_configuration_that_it_shows_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    configuration = yaml.safe_load(text)
    assert [job["job_name"] for job in configuration["scrape_configs"]] == [JOB]
    (rules,) = configuration["rule_files"]
    (tmp_path / rules).write_text(rule_files.FILE.read_text("utf-8"), "utf-8")
    (tmp_path / "intramural.key").write_text("sk-x.y", "utf-8")
    (tmp_path / "prometheus.yml").write_text(text, "utf-8")
    ran = subprocess.run(
        [str(find("promtool")), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(RULES)} rules found" in ran.stdout


@pytest.mark.parametrize("page", ["docs/README.md", "docs/start/operator.md", "docs/metrics.md"])
def test_those_who_look_for_it_find_it(page: str) -> None:
    assert "monitoring.md)" in (ROOT / page).read_text("utf-8")
