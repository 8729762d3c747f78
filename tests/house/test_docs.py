"""The generated pages are fresh and complete, and the error tree of models is drawn as it is."""

from __future__ import annotations

import inspect

import models.errors
from docs import api_fields, generate
from serve.config import Config
from serve.observe.families import FAMILIES
from serve.setting_names import env_of, flag_of
from tests.serve.api.house import house


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
    config, metrics, errors, _ = (page() for page in generate.PAGES.values())
    for name, field in Config.model_fields.items():
        assert f"| `{flag_of(name)}` | `{env_of(name)}` |" in config
        assert field.description
    for family in FAMILIES:
        assert f"| `{family.name}` | {family.kind} |" in metrics
    for error in generate.request_errors():
        assert f"| {error.status} | `{error.code}` |" in errors


def test_every_field_of_every_route_has_one_row_a_route():
    rows = {
        (line.split("`")[1], heading)
        for heading, _, part in (
            section.partition("\n") for section in generate.fields_page().split("\n## ")[1:]
        )
        for line in part.splitlines()
        if line.startswith("| `")
    }
    for path, body in api_fields.ROUTES.items():
        for name in body.model_fields:
            assert (name, f"Honoured by {path}") in rows
    for table in api_fields.TABLES.values():
        assert {(name, "Ignored on purpose") for name in table.ignored} <= rows
        for name in table.refused:
            is_honoured = all(name in body.model_fields for body in api_fields.ROUTES.values())
            assert is_honoured or (name, "Refused") in rows


async def test_the_page_of_fields_has_every_route_with_a_body():
    async with house().client() as client:
        document = (await client.get("/openapi.json")).json()
    with_bodies = {
        path
        for path, methods in document["paths"].items()
        if "requestBody" in methods.get("post", {})
    }
    assert set(api_fields.ROUTES) == with_bodies


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
