"""The rule file: promtool accepts it, its thresholds hold, and each alert says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from docs import monitoring_files
from serve.observe.families import FAMILIES, PREFIX
from tests.house.tree import ROOT
from tests.monitoring import rule_files
from tests.programs import find, needs

needs_promtool = needs("promtool")

RULES = list(rule_files.alerts(rule_files.shipped()))
UNIT_TESTS = Path(__file__).with_name("unit_rules.yaml")
METRIC = re.compile(rf"\b{PREFIX}[a-z_]+\b")


def promtool(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(find("promtool")), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    ran = promtool("check", "rules", rule_files.FILE.name, cwd=rule_files.FILE.parent)
    assert ran.returncode == 0, ran.stderr
    assert f"{len(RULES)} rules found" in ran.stdout


@needs_promtool
def test_the_thresholds_hold(tmp_path: Path) -> None:
    for file in (rule_files.FILE, UNIT_TESTS):
        shutil.copy(file, tmp_path)
    ran = promtool("test", "rules", UNIT_TESTS.name, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
@pytest.mark.parametrize(
    ("shipped", "changed"),
    [
        ("> 0.05", "> 0.07"),
        ("> 0.05", "> 0.03"),
        ('method="POST"}[5m])) > 0.02', 'method="POST"}[5m])) > 0.01'),
        ("[1h])) > 0.3", "[1h])) > -1"),
        ("[5m])) > 0.3", "[5m])) > -1"),
        (">= 2", ">= 1"),
        ("for: 30m", "for: 40m"),
        ("intramural_requests_waiting[2m]) > 0", "intramural_requests_waiting[2m]) > 2"),
        ("(.+/)?intramural", "intramural"),
    ],
)
def test_a_changed_threshold_is_found(
    shipped: str, changed: str, tmp_path: Path, is_proving: bool
) -> None:
    if not is_proving:
        pytest.skip("a second each: make prove")
    shutil.copy(UNIT_TESTS, tmp_path)
    text = rule_files.FILE.read_text("utf-8")
    assert shipped in text
    (tmp_path / rule_files.FILE.name).write_text(text.replace(shipped, changed), "utf-8")
    assert promtool("test", "rules", UNIT_TESTS.name, cwd=tmp_path).returncode != 0


def test_every_metric_of_the_rules_exists() -> None:
    known = {family.name for family in FAMILIES}
    known |= {
        f"{family.name}_{part}"
        for family in FAMILIES
        for part in ("bucket", "count", "sum")
        if family.buckets
    }
    for rule in RULES:
        assert set(METRIC.findall(rule["expr"])) <= known, rule["alert"]


def test_a_bound_that_a_rule_names_is_a_bucket() -> None:
    by_name = {family.name: family for family in FAMILIES}
    named = [
        found
        for rule in RULES
        for found in re.findall(rf'({PREFIX}\w+)_bucket{{le="([^"]+)"}}', rule["expr"])
    ]
    assert named
    for metric, bound in named:
        assert bound in {str(float(each)) for each in by_name[metric].buckets}


def test_every_code_that_a_rule_names_is_an_error_of_ours() -> None:
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    named = [
        code
        for rule in RULES
        for codes in re.findall(r'code=~?"([^"]+)"', rule["expr"])
        for code in codes.split("|")
    ]
    assert named
    for code in named:
        assert f"| `{code}` |" in page


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    names = rule_files.names()
    assert len(names) == len(set(names))
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        notes = rule["annotations"]
        assert notes["summary"].endswith(".")
        assert len(notes["description"]) > 100
        assert notes["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
        assert "absent" not in rule["expr"], "a service that is scaled to none is well"


def test_the_operators_resource_has_the_same_groups() -> None:
    resource = yaml.safe_load((rule_files.FILE.parent / "prometheusrule.yaml").read_text("utf-8"))
    assert resource["spec"] == rule_files.shipped()


def test_what_is_made_is_fresh() -> None:
    assert monitoring_files.stale() == []


def test_a_stale_file_is_found_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert monitoring_files.main(["--check"], tmp_path) == 1
    assert "dashboard.json is stale" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert monitoring_files.main([], tmp_path) == 0
    assert monitoring_files.main(["--check"], tmp_path) == 0
    file = tmp_path / "prometheusrule.yaml"
    file.write_text(file.read_text("utf-8").replace("for: 1m", "for: 9m"), "utf-8")
    assert monitoring_files.stale(tmp_path) == ["prometheusrule.yaml"]


def test_durations_are_divided_and_nothing_else() -> None:
    assert rule_files.divided("5m", 30) == "10000ms"
    with pytest.raises(ValueError, match="does not divide"):
        rule_files.divided("1m", 7_000)
    for rule, fast in zip(RULES, rule_files.alerts(rule_files.scaled(30)), strict=True):
        assert re.sub(r"\[\w+\]", "", fast["expr"]) == re.sub(r"\[\w+\]", "", rule["expr"])
        assert fast["for"] != rule["for"]
