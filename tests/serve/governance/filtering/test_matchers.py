"""Matchers are made once for all who have the same rules, also while they are being made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve.governance.filtering import matchers
from serve.governance.filtering.matchers import Matchers
from serve.governance.filtering.matching import Matcher
from serve.governance.filtering.rules import Rule, RuleSet


def rule(name: str, **more: Any) -> Rule:
    return Rule(name=name, version="1", category="hate", words=(name,), **more)


RULES = RuleSet(version="1", rules=(rule("all"), rule("lab", tenant="lab")))


async def test_the_same_rules_have_one_matcher() -> None:
    own = Matchers(RULES)
    first = await own.of("a", "input")
    assert await own.of("b", "output") is first
    assert [rule.name for rule in (await own.of("lab", "input")).rules] == ["all", "lab"]
    assert not (await own.of("a", None)).blocks


@pytest.mark.parametrize("fails", [False, True])
async def test_those_who_ask_meanwhile_wait_for_the_same_one(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    made = []

    def make(*told: Any, **more: Any) -> Matcher:
        made.append(1)
        if fails:
            raise MemoryError
        return Matcher(*told, **more)

    monkeypatch.setattr(matchers, "INLINE_WORDS", 0)
    monkeypatch.setattr(matchers, "Matcher", make)
    own = Matchers(RULES)
    asked = [own.of("a", direction) for direction in ("input", "output", "input")]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert made == [1]
    assert all(isinstance(one, MemoryError if fails else Matcher) for one in found)


async def test_prepared_matchers_are_those_that_requests_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Matchers(RULES)
    own.prepare()
    monkeypatch.setattr(matchers, "Matcher", None)  # nothing is made any more
    assert [rule.name for rule in (await own.of("a", "input")).rules] == ["all"]
    assert (await own.of("a", "output")).blocks
