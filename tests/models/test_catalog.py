from __future__ import annotations

import pytest

from models import catalog
from models.errors import CatalogError

ROW = '[[model]]\nalias = "a"\nlicence = "MIT"\narchitecture = "X"\n'


def test_the_catalog_loads_and_is_of_use():
    known = catalog.load()
    assert len(known) >= 20
    for alias in ("demo", "qwen2-0.5b", "qwen3-32b", "llama3.1-8b", "gemma3-1b", "phi4"):
        assert alias in known


def test_all_but_the_built_in_model_have_the_facts_people_ask_for():
    for entry in catalog.load().values():
        if entry.alias != "demo":
            assert entry.repo
            assert entry.parameters
            assert entry.context_length


def test_names_with_a_size_agree_with_the_parameters():
    """qwen2.5-7b has about 7 B parameters: catches a row pasted from another model."""
    for entry in catalog.load().values():
        size = entry.alias.rpartition("-")[2]
        if size[:-1].replace(".", "").isdigit() and entry.parameters:
            nominal = float(size[:-1]) * {"b": 1e9, "m": 1e6}[size[-1]]
            assert 0.8 < entry.parameters / nominal < 1.35, entry


def test_find_takes_alias_and_repository_in_any_case():
    known = catalog.load()
    entry = known["qwen2-0.5b"]
    assert known.find("Qwen2-0.5B") is entry
    assert known.find("qwen/qwen2-0.5b-instruct") is entry
    assert known.find("qwen2") is None


def test_near_names():
    known = catalog.load()
    assert "qwen2-0.5b" in known.near("qwen2-05b")
    assert "phi3-mini" in known.near("microsoft/phi3-mni")
    assert known.near("zzzz") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROW + ROW, "twice"),
        (ROW + 'size = "7b"\n', "unknown key 'size'"),
        (ROW.replace('licence = "MIT"\n', ""), "licence is missing"),
        (ROW + 'parameters = "7"\n', "must be int"),
        (ROW + "parameters = true\n", "must be int"),
        (ROW + "parameters = 0\n", "parameters is 0"),
        (ROW + "gated = 1\n", "must be bool"),
        (ROW + 'note = ""\n', "note is ''"),
        (ROW + 'repo = "no-owner"\n', "not a model repository"),
        (ROW.replace('"a"', '"A b"'), "an alias is of"),
        ("model = 3\n", "nothing but"),
        ("[other]\nx = 1\n", "nothing but"),
        ("[[model]\n", "catalog: "),
    ],
)
def test_a_broken_catalog_says_what_is_wrong(text, says):
    with pytest.raises(CatalogError, match=says):
        catalog.parse(text)
