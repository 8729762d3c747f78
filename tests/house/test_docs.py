"""The generated pages are fresh and complete, and the error tree of models is drawn as it is."""

from __future__ import annotations

import inspect

import models.errors
from docs import generate
from serve.config import Config
from serve.observe.families import FAMILIES
from serve.setting_names import env_of, flag_of


def test_the_pages_are_fresh():
    assert generate.stale() == []


def test_a_stale_page_is_found_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setattr(generate.stale, "__defaults__", (tmp_path,))
    assert generate.main(["--check"]) == 1
    assert "config.md is stale" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "errors.md").write_text("old")
    assert generate.stale(tmp_path) == ["errors.md"]


def test_every_setting_metric_and_error_has_a_row():
    config, metrics, errors = (page() for page in generate.PAGES.values())
    for name, field in Config.model_fields.items():
        assert f"| `{flag_of(name)}` | `{env_of(name)}` |" in config
        assert field.description
    for family in FAMILIES:
        assert f"| `{family.name}` | {family.kind} |" in metrics
    for error in generate.request_errors():
        assert f"| {error.status} | `{error.code}` |" in errors


def test_pages_hold_no_path_of_this_machine():
    for page in generate.PAGES.values():
        assert str(generate.Path.home()) not in page().replace("~", "")


def test_ranges_are_words():
    rows = {
        line.split("`")[1]: line for line in generate.config_page().splitlines() if "`--" in line
    }
    assert "| at least 1, at most 4096 |" in rows["--max-num-seqs"]
    assert "| more than 0 |" in rows["--receive-timeout-s"]
    assert "| `auto` \\| `cpu`" in rows["--device"]


def test_the_model_error_tree_is_drawn_as_it_is():
    for name, value in inspect.getmembers(models.errors, inspect.isclass):
        if issubclass(value, models.errors.ModelError):
            assert name in (models.errors.__doc__ or "")
