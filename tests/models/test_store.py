from __future__ import annotations

import os
from pathlib import Path

import pytest

from models import staging, store
from models.errors import ModelError, ModelNotFoundError, ModelRefusedError, StoreBusyError
from models.refs import Artifact, QuantScheme
from models.store import DirectoryStore, places, resolve
from models.target import ModelTarget
from tests.models.folders import whole


@pytest.fixture
def data_dir(tmp_path) -> Path:
    return tmp_path / "data"


def test_alias_in_the_store(data_dir):
    path = whole(data_dir / "models" / "qwen2-0.5b")
    expected = Artifact(name="qwen2-0.5b", path=path.resolve(), scheme=QuantScheme.NONE)
    assert resolve("qwen2-0.5b", data_dir) == expected
    assert resolve("Qwen/Qwen2-0.5B-Instruct", data_dir) == expected
    assert DirectoryStore(data_dir).find("qwen2-0.5b") == expected


def test_a_name_of_ones_own_in_the_store(data_dir):
    whole(data_dir / "models" / "our-tune")
    assert resolve("our-tune", data_dir).name == "our-tune"


def test_a_repository_without_an_alias_has_a_name_of_its_own(data_dir):
    path = whole(data_dir / "models" / "acme--tiny")
    assert resolve("acme/tiny", data_dir).path == path.resolve()
    with pytest.raises(ModelNotFoundError):
        resolve("acme/tiny@v2", data_dir)  # which revision is here is not known by the name


def test_remove(data_dir):
    whole(data_dir / "models" / "x")
    whole(data_dir / "models" / "y")
    found = DirectoryStore(data_dir)
    found.remove("x")
    assert found.names() == ["y"]
    with pytest.raises(ModelNotFoundError, match="no model 'x'"):
        found.remove("x")
    with staging.staged(found.root, "y"), pytest.raises(StoreBusyError):
        found.remove("y")
    assert found.find("y")


@pytest.mark.parametrize("text", ["{abs}", "./here", "here", "sub/../here", "~/here"])
def test_folders(tmp_path, data_dir, monkeypatch, text):
    path = whole(tmp_path / "here")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    artifact = resolve(text.format(abs=path), data_dir)
    assert artifact.path == path.resolve()
    assert artifact.name == "here"


def test_the_store_wins_over_a_folder_of_the_same_name(tmp_path, data_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole(tmp_path / "x")
    stored = whole(data_dir / "models" / "x")
    assert resolve("x", data_dir).path == stored.resolve()
    assert resolve("./x", data_dir).path == (tmp_path / "x").resolve()


def test_demo_is_the_packaged_folder(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(store, "DEMO_WEIGHTS", whole(tmp_path / "weights"))
    whole(data_dir / "models" / "demo")  # a folder of that name cannot take its place
    assert resolve("demo", data_dir).path == (tmp_path / "weights").resolve()
    assert resolve("demo", data_dir).name == "demo"


def test_demo_is_demo_in_any_case_as_every_alias_is(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(store, "DEMO_WEIGHTS", whole(tmp_path / "weights"))
    whole(data_dir / "models" / "demo")
    assert resolve("Demo", data_dir).path == (tmp_path / "weights").resolve()
    with pytest.raises(ModelNotFoundError, match="no model 'demo@v1'"):
        resolve("demo@v1", data_dir)


def test_a_target_that_was_parsed_is_taken_as_it_is(data_dir):
    path = whole(data_dir / "models" / "acme--tiny")
    target = ModelTarget.parse("acme/tiny@v2")
    assert resolve(target.base, data_dir).path == path.resolve()
    assert list(places(target.base, data_dir)) == [
        ("acme--tiny", path),
        ("tiny", Path("acme/tiny")),
    ]
    assert list(places(target, data_dir)) == [("tiny@v2", Path("acme/tiny@v2"))]


def test_a_quantised_model_that_is_not_here_says_how_to_make_it(data_dir):
    with pytest.raises(ModelNotFoundError, match="python -m models list"):
        resolve("our-tune--int8", data_dir)
    whole(data_dir / "models" / "our-tune")
    advice = f"Make it with `python -m quantize our-tune --scheme int8 --data-dir {data_dir}`"
    with pytest.raises(ModelNotFoundError, match=advice):
        resolve("our-tune--int8", data_dir)


def test_demo_without_weights_says_so(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(store, "DEMO_WEIGHTS", tmp_path / "none")
    with pytest.raises(ModelNotFoundError, match=r"models\.demo\.train"):
        resolve("demo", data_dir)


def test_a_known_alias_that_is_not_here_says_where_it_belongs_and_how(data_dir):
    with pytest.raises(ModelNotFoundError) as error:
        resolve("llama3.2-1b", data_dir)
    text = str(error.value)
    assert f"python -m models pull llama3.2-1b --data-dir {data_dir}" in text
    assert "--from PATH" in text
    assert "must be accepted" in text


def test_notes_reach_the_operator(data_dir):
    with pytest.raises(ModelNotFoundError, match="auto_map"):
        resolve("phi3-mini", data_dir)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("qwen3-8", "Did you mean qwen3-8b"),
        ("gpt-zero", "python -m models list"),
        ("./nowhere", "Give a folder"),
        ("~nobody-of-that-name/x", "Give a folder"),
        ("", "models list"),
        ("a\0b", "no model"),
        ("../nowhere", "Give a folder"),
    ],
)
def test_unknown_models_get_a_hint(data_dir, model, hint):
    with pytest.raises(ModelNotFoundError, match=hint):
        resolve(model, data_dir)


def test_incomplete_folder_says_what_it_lacks(tmp_path, data_dir):
    path = whole(tmp_path / "m")
    (path / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"lacks model\.safetensors"):
        resolve(str(path), data_dir)


def test_refused_folder(tmp_path, data_dir):
    path = whole(tmp_path / "m")
    (path / "pytorch_model.bin").touch()
    with pytest.raises(ModelRefusedError, match=r"pytorch_model\.bin"):
        resolve(str(path), data_dir)


def test_a_folder_that_is_no_model_says_what_a_model_holds(tmp_path, data_dir):
    (tmp_path / "notes.py").touch()
    with pytest.raises(ModelNotFoundError, match=r"lacks config\.json"):
        resolve(str(tmp_path), data_dir)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "", ".hidden", "a\0", "a\n"])
def test_names_cannot_lead_out_of_the_store(data_dir, name):
    with pytest.raises(ModelNotFoundError):
        DirectoryStore(data_dir).find(name)


def test_iteration_gives_what_can_be_used(data_dir):
    assert list(DirectoryStore(data_dir)) == []
    for name in ("b", "a", "broken"):
        whole(data_dir / "models" / name)
    (data_dir / "models" / "broken" / "x.py").touch()
    (data_dir / "models" / "empty").mkdir()
    (data_dir / "models" / "a-file").touch()
    found = DirectoryStore(data_dir)
    assert [artifact.name for artifact in found] == ["a", "b"]
    assert found.names() == ["a", "b", "broken", "empty"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tmp_path, data_dir):
    path = whole(tmp_path / "m")
    path.chmod(0)
    try:
        with pytest.raises(ModelError, match="cannot be read"):
            resolve(str(path), data_dir)
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("put", [Path.touch, os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_what_stands_where_the_models_should_be_is_named(tmp_path, put):
    put(tmp_path / "models")
    says = "models is (a file|a pipe|a link that leads nowhere), and models lie in a folder"
    with pytest.raises(ModelNotFoundError, match=says):
        DirectoryStore(tmp_path).names()
    (tmp_path / "models").rename(tmp_path / "data")
    with pytest.raises(ModelNotFoundError, match=r"data is .*Name another with --data-dir"):
        resolve("qwen2-0.5b", tmp_path / "data")
