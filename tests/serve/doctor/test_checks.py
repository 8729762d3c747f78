"""The lists of checks: their order, one finding each, and the end at a deployment that is dead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve.doctor import checks
from serve.doctor.finding import Finding, failure, ok, warning
from tests.serve.doctor.machines import machine


class Deployed:
    """A stand-in: the checks in place of the real ones do not look at it."""


def replace(monkeypatch: pytest.MonkeyPatch, table: str, findings: dict[str, Finding]) -> list[str]:
    """Put checks in place that find this; returns the names of those that ran, as they run."""
    ran: list[str] = []

    def check(name: str) -> Callable[[Any], Finding]:
        def found(_: Any) -> Finding:
            ran.append(name)
            return findings[name]

        return found

    monkeypatch.setattr(checks, table, {name: check(name) for name in findings})
    return ran


def test_the_order_is_from_the_hardware_up() -> None:
    names = list(checks.MACHINE)
    assert names.index("driver") < names.index("cuda") < names.index("memory")
    assert names.index("model fit") < names.index("model bytes") < names.index("keys")
    assert next(iter(checks.DEPLOYMENT)) == "alive"


def test_each_check_of_a_machine_runs_when_its_turn_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    findings = {"a": failure("no", "do"), "b": ok("yes")}
    ran = replace(monkeypatch, "MACHINE", findings)
    found = checks.examine_machine(machine(tmp_path))
    assert next(found) == ("a", findings["a"])
    assert ran == ["a"], "so that slow checks show what is done already"
    assert list(found) == [("b", findings["b"])]


def test_of_a_dead_deployment_nothing_more_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = failure("Nothing answers.", "Start it.")
    ran = replace(monkeypatch, "DEPLOYMENT", {"alive": dead, "ready": ok("r"), "load": ok("l")})
    found = dict(checks.examine_deployment(Deployed()))  # type: ignore[arg-type]
    assert ran == ["alive"]
    assert found["alive"] is dead
    assert {found["ready"].level, found["load"].level} == {"skipped"}


@pytest.mark.parametrize("first", [ok("It lives."), warning("It is slow.", "Wait.")])
def test_a_failure_of_another_check_stops_none(
    monkeypatch: pytest.MonkeyPatch, first: Finding
) -> None:
    findings = {"alive": first, "ready": failure("no", "wait"), "load": ok("l")}
    ran = replace(monkeypatch, "DEPLOYMENT", findings)
    assert dict(checks.examine_deployment(Deployed())) == findings  # type: ignore[arg-type]
    assert ran == ["alive", "ready", "load"]
