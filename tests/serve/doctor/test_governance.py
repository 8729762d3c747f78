"""Pepper, limits, identity provider and alerts as `doctor` sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.doctor import governance
from tests.serve.doctor.machines import machine
from tests.serve.governance.stored_keys import stored_key

LIMITS = '[[limits]]\nname = "all"\ntokens_per_day = 5\n'
RATES = '[[limits]]\nname = "all"\ntokens_per_minute = 5\nmode = "observe"\n'
MAIL = '[mail]\nrelay = "127.0.0.1:25"\nfrom = "a@example.org"\nto = ["b@example.org"]\n'
JWT = 'issuer = "i"\naudience = "a"\nalgorithms = ["ES256"]\ntenants = ["*"]\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_what_is_not_set_is_skipped(tmp_path):
    plain = machine(tmp_path)
    checks = (
        governance.pepper,
        governance.limits,
        governance.identity_provider,
        governance.alerts,
        governance.content_filter,
        governance.presets,
        governance.masking,
    )
    assert [check(plain).level for check in checks] == ["skipped"] * 7


@pytest.mark.parametrize(
    ("text", "level", "told"),
    [
        ('version = "3"\n[default]\nmask = ["email"]\n', "ok", "Version 3: 1 rules by default"),
        ("[default]\n", "warning", "Nothing is masked"),
        ('[default]\nmask = ["emial"]\n', "failure", "emial"),
    ],
)
def test_masking(tmp_path, text, level, told):
    masking_file = written(tmp_path, "masking.toml", text)
    found = governance.masking(machine(tmp_path, masking_file=masking_file))
    assert found.level == level
    assert told in f"{found.summary} {found.advice}"


def test_rules_for_a_tenant_that_no_key_is_of_are_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(governance, "list_keys", lambda _path: [stored_key("k", tenant="lab")])
    masks = '[default]\nmask = ["email"]\n[tenants.labb]\noff = ["email"]\n'
    words = (
        'version = "1"\n[[rules]]\nname = "a"\ncategory = "hate"\nwords = ["x"]\ntenant = "labb"\n'
    )
    files = {
        "masking_file": written(tmp_path, "masking.toml", masks),
        "content_filter_file": written(tmp_path, "filter.toml", words),
        "presets_file": written(tmp_path, "presets.toml", '[tenants.labb]\npreset = "qa"\n'),
    }
    checks = (governance.masking, governance.content_filter, governance.presets)
    for check in checks:
        found = check(machine(tmp_path, api_key_file=tmp_path / "keys.json", **files))
        assert found.level == "warning"
        assert "the tenant 'labb', and no key is of it. Did you mean lab?" in found.summary
        assert check(machine(tmp_path, **files)).level == "ok"
    for path in files.values():
        path.write_text(path.read_text().replace("labb", "lab"))
    for check in checks:
        found = check(machine(tmp_path, api_key_file=tmp_path / "keys.json", **files))
        assert found.level == "ok"


@pytest.mark.parametrize(("text", "level"), [("p" * 32, "ok"), ("short", "failure")])
def test_the_pepper(tmp_path, text, level):
    pepper = written(tmp_path, "pepper", text)
    found = governance.pepper(machine(tmp_path, key_pepper_file=pepper, api_keys="database"))
    assert found.level == level


def test_limits_that_load(tmp_path):
    limits_file = written(tmp_path, "limits.toml", LIMITS + RATES.replace("all", "other"))
    found = governance.limits(machine(tmp_path, limits_file=limits_file))
    assert (found.level, found.summary) == ("ok", "2 limits, 1 of them enforced.")


def test_a_content_filter(tmp_path):
    text = 'version = "3"\n[[rules]]\nname = "r"\ncategory = "hate"\nwords = ["x"]\n'
    rules = written(tmp_path, "filter.toml", text)
    found = governance.content_filter(machine(tmp_path, content_filter_file=rules))
    assert (found.level, found.summary) == ("ok", "1 rules, 1 of them block; version 3.")
    rules = written(tmp_path, "filter.toml", text.replace("hate", "Hate"))
    found = governance.content_filter(machine(tmp_path, content_filter_file=rules))
    assert found.level == "failure"


def test_presets_and_keys_that_name_one(tmp_path, monkeypatch):
    presets = written(tmp_path, "presets.toml", "[presets.own]\ntop_p = 0.5\n")
    found = governance.presets(machine(tmp_path, presets_file=presets))
    assert (found.level, found.summary) == (
        "ok",
        "1 presets beside the built-in ones, 0 rules for answers.",
    )
    keys = written(tmp_path, "keys.json", "{}")
    monkeypatch.setattr(governance, "list_keys", lambda _path: [stored_key("k", preset="gone")])
    found = governance.presets(machine(tmp_path, presets_file=presets, api_key_file=keys))
    assert found.level == "failure"
    assert "'gone'" in found.summary


def test_a_limit_on_what_is_not_there(tmp_path):
    text = LIMITS + 'model = "elsewhere"\n'
    found = governance.limits(machine(tmp_path, limits_file=written(tmp_path, "limits.toml", text)))
    assert found.level == "failure"
    assert "elsewhere" in f"{found.summary} {found.advice}"


def test_keys_of_a_database_are_not_looked_up(tmp_path):
    text = LIMITS + 'key = "unknown-to-a-file"\n'
    limits_file = written(tmp_path, "limits.toml", text)
    found = governance.limits(machine(tmp_path, limits_file=limits_file, api_keys="database"))
    assert found.level == "ok"
    assert "not looked up" in found.summary


@pytest.mark.parametrize("keys", ['{"keys": []}', "no json"])
def test_an_identity_provider_without_keys_is_a_failure(tmp_path, keys):
    written(tmp_path, "jwks.json", keys)
    path = written(tmp_path, "jwt.toml", JWT + 'jwks_file = "jwks.json"\n')
    assert governance.identity_provider(machine(tmp_path, jwt_file=path)).level == "failure"


def test_alerts_about_budgets(tmp_path):
    alerts_file = written(tmp_path, "alerts.toml", "thresholds = [80, 50]\n" + MAIL)
    limits_file = written(tmp_path, "limits.toml", LIMITS)
    found = governance.alerts(machine(tmp_path, alerts_file=alerts_file, limits_file=limits_file))
    assert (found.level, found.summary) == ("ok", "At 50, 80 % of a budget, by mail.")


def test_alerts_about_nothing(tmp_path):
    alerts_file = written(tmp_path, "alerts.toml", "thresholds = [80]\n" + MAIL)
    limits_file = written(tmp_path, "limits.toml", RATES)
    found = governance.alerts(machine(tmp_path, alerts_file=alerts_file, limits_file=limits_file))
    assert found.level == "warning"
    assert governance.alerts(machine(tmp_path, alerts_file=alerts_file)).level == "warning"


def test_alerts_that_do_not_load(tmp_path):
    alerts_file = written(tmp_path, "alerts.toml", "thresholds = [80]\n")
    found = governance.alerts(machine(tmp_path, alerts_file=alerts_file))
    assert found.level == "failure"
    assert "no [mail]" in found.summary


def test_keys_that_seal(tmp_path: Path) -> None:
    one, other = written(tmp_path, "one", "ab" * 32), written(tmp_path, "other", "cd" * 32)
    settings = {"usage_ledger": True, "response_cache": "shared", "cache_url_file": one}

    def found(answers: Path, texts: Path):
        given = {"response_cache_key_file": answers, "feedback_key_file": texts}
        return governance.sealing_keys(machine(tmp_path, **settings, **given))

    assert governance.sealing_keys(machine(tmp_path)).level == "skipped"
    assert found(one, other).level == "ok"
    assert found(one, one).level == "warning"
    assert found(one, written(tmp_path, "short", "ab")).level == "failure"
