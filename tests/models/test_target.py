from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import InvalidRefError
from models.refs import ModelRef, QuantScheme
from models.target import Kind, ModelTarget, is_plain_name, quantised_name

QWEN = "Qwen/Qwen2-7B-Instruct"


@pytest.mark.parametrize(
    ("text", "kind", "name", "repo", "revision"),
    [
        ("demo", Kind.BUILT_IN, "demo", None, None),
        ("Demo", Kind.BUILT_IN, "demo", None, None),
        ("qwen2-7b", Kind.CATALOG, "qwen2-7b", QWEN, None),
        ("QWEN2-7B", Kind.CATALOG, "qwen2-7b", QWEN, None),
        (QWEN, Kind.CATALOG, "qwen2-7b", QWEN, None),
        (f"{QWEN.lower()}@v1", Kind.CATALOG, "qwen2-7b", QWEN, "v1"),
        ("acme/tune", Kind.REPOSITORY, "acme--tune", "acme/tune", None),
        ("acme/tune@v2", Kind.REPOSITORY, "acme--tune", "acme/tune", "v2"),
        ("our-tune", Kind.NAME, "our-tune", None, None),
        ("acme--tune", Kind.NAME, "acme--tune", None, None),
        ("our-tune@v2", Kind.PATH, None, None, None),
        ("acme/tune@", Kind.PATH, None, None, None),
        ("acme/tune@../x", Kind.PATH, None, None, None),
        ("./tune", Kind.PATH, None, None, None),
        ("/a/tune", Kind.PATH, None, None, None),
        ("~/tune", Kind.PATH, None, None, None),
        ("a/b/c", Kind.PATH, None, None, None),
        ("..", Kind.PATH, None, None, None),
        ("", Kind.PATH, None, None, None),
        ("a\0b", Kind.PATH, None, None, None),
    ],
)
def test_each_text_names_one_kind_of_thing(text, kind, name, repo, revision):
    target = ModelTarget.parse(text)
    assert (target.kind, target.name, target.repo, target.revision) == (kind, name, repo, revision)
    assert target.text == text
    assert (target.entry is None) == (kind not in {Kind.BUILT_IN, Kind.CATALOG})


def test_a_target_is_parsed_once():
    target = ModelTarget.parse("qwen2-7b")
    assert ModelTarget.parse(target) is target


def test_the_reference_has_the_revision_or_the_default_one():
    assert ModelTarget.parse("qwen2-7b").ref == ModelRef(repo=QWEN)
    assert ModelTarget.parse("acme/tune@v2").ref == ModelRef(repo="acme/tune", revision="v2")
    assert ModelTarget.parse("./tune").ref is None
    assert ModelTarget.parse("demo").ref is None


@pytest.mark.parametrize("text", ["qwen2-7b@", "qwen2-7b@../x"])
def test_what_is_no_revision_is_told_when_it_is_needed(text):
    with pytest.raises(InvalidRefError, match="is not a revision"):
        _ = ModelTarget.parse(text).ref


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("qwen2-7b@v1", "qwen2-7b"),
        (f"{QWEN}@v1", QWEN),
        ("acme/tune@v2", "acme/tune"),
        ("qwen2-7b@", "qwen2-7b"),
    ],
)
def test_the_base_is_the_same_model_without_its_revision(text, base):
    target = ModelTarget.parse(text)
    assert (target.base.text, target.base.revision) == (base, None)
    assert target.base == ModelTarget.parse(base)


@pytest.mark.parametrize("text", ["demo", "our-tune", "./x@v2", "acme/tune"])
def test_what_has_no_revision_is_its_own_base(text):
    target = ModelTarget.parse(text)
    assert target.base is target


def test_a_repository_whose_owner_is_a_folder_here_is_a_path_that_was_mistaken(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    target = ModelTarget.parse("acme/tune@v2")
    assert target.is_fetchable
    (tmp_path / "acme").mkdir()
    assert not target.is_fetchable
    assert target.base is target
    (tmp_path / "Qwen").mkdir()
    assert ModelTarget.parse(QWEN).is_fetchable  # the catalogue has it


@pytest.mark.parametrize("text", ["demo", "our-tune", "./tune", ""])
def test_other_texts_are_never_fetched(text):
    assert not ModelTarget.parse(text).is_fetchable


def test_a_text_is_a_path_too(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ModelTarget.parse("~/tune").folder == tmp_path / "tune"
    assert ModelTarget.parse("our-tune").folder == Path("our-tune")
    for text in ("", "  ", "a\0b", "~nobody-of-that-name/x"):
        assert ModelTarget.parse(text).folder is None


@pytest.mark.parametrize("scheme", sorted(set(QuantScheme) - {QuantScheme.NONE}))
def test_a_quantised_models_name_tells_what_it_was_made_from(scheme):
    name = quantised_name("acme--tune", scheme)
    assert name == f"acme--tune--{scheme}"
    assert ModelTarget.parse(name).quantised_from == ("acme--tune", scheme)


@pytest.mark.parametrize(
    "text", ["our-tune", "our--tune", "--int8", "int8", "./m--int8", "m--int9"]
)
def test_other_names_do_not(text):
    assert ModelTarget.parse(text).quantised_from is None


@pytest.mark.parametrize("text", ["a", "A.b_c-d", "0", "a" * 128])
def test_names_that_the_store_can_have(text):
    assert is_plain_name(text)


@pytest.mark.parametrize("text", ["", ".", "..", ".a", "-a", "a/b", "a\n", "a b", "é", "a" * 129])
def test_names_that_it_cannot(text):
    assert not is_plain_name(text)
