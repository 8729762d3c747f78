"""Rules for whom, and what a record says of them."""

from __future__ import annotations

from serve.governance.filtering.rules import Rule, RuleSet

ALL = Rule(name="all", version="1", category="hate", words=("x",), on=frozenset({"input"}))
CLINIC = Rule(name="clinic", version="2", category="own", words=("y",), tenant="clinic")
LAB = Rule(name="lab", version="1", category="own", words=("z",), tenant="lab")
RULES = RuleSet(version="1", rules=(ALL, CLINIC, LAB), without_default=frozenset({"lab"}))


def test_a_tenant_has_the_rules_of_all_and_its_own() -> None:
    assert list(RULES.of("clinic")) == [ALL, CLINIC]
    assert list(RULES.of("anyone")) == [ALL]
    assert list(RULES.of("lab")) == [LAB]
    assert RULES.tenants == {"clinic", "lab"}


def test_a_rule_looks_one_way_or_both() -> None:
    assert list(RULES.of("clinic", "input")) == [ALL, CLINIC]
    assert list(RULES.of("clinic", "output")) == [CLINIC]


def test_a_verdict_names_rule_and_version() -> None:
    assert CLINIC.verdict == "filter:clinic@2"
