"""Replicas follow from two laws of queues; the values for k8s/ name metrics that exist."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import main
from benchmarks.metrics.request import Targets
from benchmarks.planner import Users, plan
from benchmarks.scaling.arrivals import Request
from benchmarks.scaling.replica import Costs
from benchmarks.scaling.simulation import Day
from benchmarks.scaling.simulation import Plan as DayPlan
from benchmarks.serving.load import Level
from benchmarks.serving.measuring import sweep_open
from serve.config import Config
from serve.observe.families import FAMILIES
from serve.setting_names import env_of
from tests.benchmarks.documents import document, level_row
from tests.benchmarks.serving.simulated import SimulatedServer, book

SWEEP = [
    level_row("poisson 1/s", 1.0),
    level_row("poisson 2/s", 2.0),
    level_row("poisson 4/s", 3.5, attainment=0.6, e2e_ms=9000.0),
]
RULES = {"share": 0.95, "headroom": 0.8, "spare": 1}


def test_the_plan_by_hand() -> None:
    found = plan(SWEEP, Users(count=100, think_s=30.0), **RULES)
    assert found is not None
    assert found.level == "poisson 2/s"  # at 4/s the targets are not met
    assert found.demand_s == pytest.approx(100 / 32)
    assert found.replicas == math.ceil(100 / 32 / (2.0 * 0.8)) + 1 == 3
    assert found.admitted_per_replica == 3  # 4 in flight at 2/s, 80 % of them


def test_a_saturated_level_is_not_planned_on() -> None:
    """A short level may meet its targets before its queue is long."""
    full = replace(level_row("poisson 3/s", 3.0), facts={"is_saturated": 1.0})
    found = plan([*SWEEP[:2], full], Users(count=100, think_s=30.0), **RULES)
    assert found is not None
    assert found.level == "poisson 2/s"


def test_no_more_is_planned_on_than_was_sent() -> None:
    lucky = level_row("poisson 2/s", 2.0)
    lucky.samples["answered_s"][0] = 2.5
    found = plan([lucky], Users(count=100, think_s=30.0), **RULES)
    assert found is not None
    assert found.requests_s == 2.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_replicas_hold_the_targets_when_the_users_come(seed: int) -> None:
    """A sweep, its plan, and two minutes of these users, all in simulated time."""
    targets = Targets(ttft_s=0.3)
    server = SimulatedServer(slots=16, answer_s=0.32)
    swept = book(server, seed, targets)
    first = Level(count=1, rate=4.0)
    sweep_open(swept, first, num_requests=None, most_levels=20, most_s=120.0)
    found = plan(swept.rows, Users(count=500, think_s=3.0), **RULES)
    assert found is not None
    costs = Costs(
        start_s=1.0,
        first_token_s=server.answer_s / 16,
        one_s=server.answer_s / 16,
        full_s=server.answer_s / 16,
        slots=16,
    )
    chance = random.Random(seed)
    at, requests = 0.0, []
    while at < 120:
        at += chance.expovariate(found.demand_s)
        requests.append(Request(at_s=at, tokens=16))

    def attainment(replicas: int) -> float:
        return Day(DayPlan(name="fixed", fixed=replicas), costs).run(requests).attainment(0.3)

    assert attainment(found.replicas) >= 0.95
    assert attainment(found.replicas - 1) >= 0.95, "the spare one may be missing"
    least = math.floor(found.demand_s / server.capacity_s)
    assert not least or attainment(least) < 0.95, "too few do not"


def test_longer_answers_need_more() -> None:
    found = plan(SWEEP, Users(count=100, think_s=30.0, tokens=200), **RULES)
    assert found is not None
    assert (found.requests_s, found.answer_s) == (1.0, 4.0)
    assert found.replicas == math.ceil(100 / 34 / (1.0 * 0.8)) + 1


def test_targets_that_no_level_meets_have_no_plan() -> None:
    assert plan([SWEEP[2]], Users(count=1, think_s=1.0), **RULES) is None


@given(st.integers(1, 5000), st.integers(0, 5000), st.floats(1.0, 300.0))
def test_more_users_never_need_fewer_replicas(few: int, more: int, think_s: float) -> None:
    one = plan(SWEEP, Users(count=few, think_s=think_s), **RULES)
    other = plan(SWEEP, Users(count=few + more, think_s=think_s), **RULES)
    assert one is not None
    assert other is not None
    assert one.replicas <= other.replicas <= other.max_replicas
    # What all replicas but the spare one can give covers what is asked for.
    assert (other.replicas - 1) * other.requests_s * 0.8 >= other.demand_s * (1 - 1e-9)


def test_the_values_for_k8s_name_what_there_is() -> None:
    found = plan(SWEEP, Users(count=10, think_s=10.0), **RULES)
    assert found is not None
    text = found.manifest()
    metrics = set(re.findall(r"name: (intramural_\w+)", text))
    assert found.max_num_seqs == 8  # 4 in flight on average, two deviations more
    assert metrics <= {family.name for family in FAMILIES}
    assert len(metrics) == 2
    settings = dict(re.findall(r"^(INTRAMURAL_\w+)=(\d+)$", text, re.MULTILINE))
    known = {env_of(name): name for name in Config.model_fields}
    Config(**{known[name]: value for name, value in settings.items()})
    k8s = Path(__file__).parents[2] / "k8s"
    there = (k8s / "components/hpa/hpa.yaml").read_text("utf-8")
    assert all(f"{{name: {metric}}}" in there for metric in metrics)
    assert (k8s / "base/server/settings.env").is_file()
    scaler = yaml.safe_load(text.partition("hpa.yaml\n")[2])
    assert scaler["minReplicas"] == found.replicas


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.json"
    sweep = document(SWEEP, kind="serving", settings={"targets_ms": {"ttft": "500"}})
    path.write_text(sweep.to_json())
    assert main(["plan", str(path), "--users", "100"]) == 0
    out = capsys.readouterr().out
    assert "3 replicas (1 of them spare) for 100 users" in " ".join(out.split())
    assert json.loads(out.splitlines()[-1])["replicas"] == 3
    path.write_text(document(SWEEP[2:], kind="serving", settings=sweep.settings).to_json())
    assert main(["plan", str(path), "--users", "100"]) == 1


@pytest.mark.parametrize(
    "options", [["--users", "0"], ["--users", "5", "--share", "2"], ["--users", "5"]]
)
def test_what_cannot_be_planned_is_refused(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(document([], kind="engine").to_json())
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(path), *options])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--users", "0"], "--users is 0 and must be at least 1."),
        (["--users", "5", "--share", "2"], "--share is 2 and must be above 0 and at most 1."),
        (["--users", "5", "--headroom", "0"], "--headroom is 0 and must be above 0"),
        (["--users", "5", "--think-time", "-1"], "--think-time is -1 and must be at least 0."),
        (["--users", "5", "--tokens", "0.5"], "--tokens is 0.5 and must be at least 1."),
    ],
)
def test_a_number_out_of_its_range_is_named_with_its_limit(options, message, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "nowhere.json", *options])
    assert message in capsys.readouterr().err
