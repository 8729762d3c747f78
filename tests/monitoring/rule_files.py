"""The rule file as it is shipped, and the same with every duration divided."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.house.tree import ROOT

FILE = ROOT / "k8s/components/monitoring/rules.yaml"
Rules = dict[str, Any]

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_WINDOW = re.compile(r"\[(\w+)\]")


def shipped() -> Rules:
    """The file's own content."""
    rules: Rules = yaml.safe_load(FILE.read_text("utf-8"))
    return rules


def alerts(rules: Rules) -> Iterator[dict[str, Any]]:
    for group in rules["groups"]:
        yield from group["rules"]


def names() -> list[str]:
    return [rule["alert"] for rule in alerts(shipped())]


def divided(duration: str, factor: int) -> str:
    """A duration of Prometheus divided by a whole number: ``5m`` by 30 is ``10000ms``."""
    match = _DURATION.fullmatch(duration)
    if match is None or int(match[1]) * _UNITS_MS[match[2]] % factor:
        raise ValueError(f"{duration} does not divide by {factor} into whole milliseconds")
    return f"{int(match[1]) * _UNITS_MS[match[2]] // factor}ms"


def scaled(factor: int) -> Rules:
    """The rules with each ``for`` and each window so many times shorter; all else as shipped."""
    rules = copy.deepcopy(shipped())
    for rule in alerts(rules):
        rule["for"] = divided(rule["for"], factor)
        rule["expr"] = _WINDOW.sub(lambda window: f"[{divided(window[1], factor)}]", rule["expr"])
    return rules
