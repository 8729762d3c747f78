"""Rules that follow their file, at most a second late, and limits of keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from serve.errors import StartupError
from serve.governance.limits.rules_in_force import RELOAD_INTERVAL_S, RulesInForce
from tests.serve.governance.limits.limited import ANN, ANN_AGAIN, KNOWN

ONE = '[[limits]]\nname = "one"\ntokens_per_day = 1\n'


def test_a_change_is_noticed_within_a_second(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "limits.toml"
    path.write_text("")
    in_force = RulesInForce(path, lambda: KNOWN, clock=lambda: now[0])
    path.write_text(ONE)
    assert in_force.rules.limits == ()
    now[0] += RELOAD_INTERVAL_S
    assert [limit.name for limit in in_force.rules.limits] == ["one"]


def test_a_file_that_is_gone_or_broken_leaves_what_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(ONE)
    in_force = RulesInForce(path, lambda: KNOWN)
    path.unlink()
    in_force.follow()
    assert not in_force.is_in_force
    path.write_text("x = ")
    in_force.follow()
    assert [limit.name for limit in in_force.rules.limits] == ["one"]
    assert caplog.text.count("the ones known stay in force") == 2
    path.write_text("")
    in_force.follow()
    assert in_force.is_in_force
    assert in_force.rules.limits == ()


def test_a_broken_file_ends_a_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError):
        RulesInForce(tmp_path / "none", lambda: KNOWN)


def test_limits_of_a_key_are_read_once_until_they_change() -> None:
    stored: dict[str, Mapping[str, Any]] = {"key-a": {"tokens_per_day": 5}}
    in_force = RulesInForce(None, lambda: KNOWN, key_limits=stored.get)
    rules = in_force.rules
    (limit,) = in_force.limits_for(rules, ANN)
    assert in_force.limits_for(rules, ANN)[0] is limit
    assert in_force.limits_for(rules, ANN_AGAIN) == ()
    stored["key-a"] = {"tokens_per_day": 6}
    assert in_force.limits_for(rules, ANN)[0].bounds == {"tokens_per_day": 6}
    stored["key-a"] = {"tokens": 6}
    with pytest.raises(StartupError):
        in_force.limits_for(rules, ANN)
