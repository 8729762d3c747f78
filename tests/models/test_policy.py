"""Poisoned folders are refused for one file and one rule, benign ones pass, and nothing runs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from models import policy
from models.errors import ModelNotFoundError, ModelRefusedError
from tests.models import benign, poison
from tests.models.folders import whole
from tests.models.poison import POISONS

LOADERS = ("torch", "transformers", "safetensors", "tokenizers", "vllm")


def poisoned(path: Path, name: str) -> Path:
    """A poisoned folder; what its payload would touch is ``path / "canary"``."""
    folder = whole(path / "m")
    POISONS[name].make(folder, path / "canary")
    return folder


def said_name(name: str) -> str:
    """The poisoned file as a message names it: what a terminal obeys is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in POISONS[name].file)


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_folder_is_refused_by_its_rule(tmp_path, name):
    folder = poisoned(tmp_path, name)
    refusals = list(policy.inspect(folder))
    assert [(refusal.rule, refusal.file) for refusal in refusals] == [
        (POISONS[name].rule, POISONS[name].file)
    ]
    with pytest.raises(ModelRefusedError) as refused:
        policy.check(folder)
    assert f"{said_name(name)} ({POISONS[name].rule}): " in str(refused.value)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", benign.FOLDERS)
def test_a_benign_folder_passes(tmp_path, name):
    folder = benign.folder(tmp_path / "m", name)
    assert [str(refusal) for refusal in policy.inspect(folder)] == []


ENTRIES = {
    "show": ("models.__main__", ["show"]),
    "serve": ("serve.cli.main", ["--engine", "transformers", "--port", "0", "--model"]),
}
PROGRAM = """
import contextlib, importlib, io, json, sys
main = importlib.import_module(sys.argv[1]).main
for folder in sys.stdin.read().splitlines():
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main([*sys.argv[2:], folder])
    loaded = sorted(set(%r) & set(sys.modules) - {"tokenizers"})
    print(json.dumps([code, said.getvalue(), loaded]))
"""


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_command_loads_anything_of_a_poisoned_folder(tmp_path, entry):
    """The commands' own ``main``, all folders through one process of each.

    tokenizers is imported by the server as a library; only ``models`` keeps clear of it.
    """
    folders = {}
    for number, name in enumerate(POISONS):
        (tmp_path / str(number)).mkdir()
        folders[name] = poisoned(tmp_path / str(number), name)
    module, arguments = ENTRIES[entry]
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM % (LOADERS,), module, *arguments],
        input="\n".join(map(str, folders.values())),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(folders)
    for (name, folder), (code, said, loaded) in zip(folders.items(), answers, strict=True):
        assert code == 2, name
        assert f"{said_name(name)} ({POISONS[name].rule})" in said, name
        assert loaded == [], name
        assert not (folder.parent / "canary").exists(), name


@pytest.mark.parametrize("command", [["models", "show"], ["serve", "--model"]])
def test_the_real_commands_import_no_loader(tmp_path, command):
    """As an operator types them; Python's own list of imports says what was loaded."""
    folder = poisoned(tmp_path, "template that runs a program")
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *command, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "chat_template.jinja (template)" in result.stderr
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "models.policy" in imported
    assert not imported & {"torch", "transformers", "safetensors", "vllm"}
    assert not (tmp_path / "canary").exists()


def test_the_payloads_are_live(tmp_path):
    """Each would touch its canary if anything obeyed it: else the canaries prove nothing."""
    canary = tmp_path / "canary"

    def ran() -> bool:
        is_there = canary.exists()
        canary.unlink(missing_ok=True)
        return is_there

    unpickle = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    for protocol in range(5):
        payload = poison.pickled(canary, protocol)
        subprocess.run([sys.executable, "-c", unpickle], input=payload, check=True)
        assert ran(), protocol
    # In a process of its own, because the payload leaves its pipe open.
    render = "import jinja2, sys; jinja2.Environment().from_string(sys.argv[1]).render()"
    subprocess.run([sys.executable, "-c", render, poison.template(canary)], check=True)
    assert ran()
    (tmp_path / "x.py").write_text(poison.code(canary))
    runpy.run_path(str(tmp_path / "x.py"))
    assert ran()


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(policy, "MAX_FILES", 2)
    with pytest.raises(ModelRefusedError, match="size"):
        policy.check(whole(tmp_path / "m"))


def test_message_is_bounded_and_counts_the_rest(tmp_path):
    folder = whole(tmp_path / "m")
    for number in range(policy.MAX_SHOWN + 3):
        (folder / f"{number:02}.py").touch()
    with pytest.raises(ModelRefusedError, match="and 3 more"):
        policy.check(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelNotFoundError, match="cannot be read"):
        policy.check(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("model.safetensors", None),
        ("sub/vocab.txt", None),
        ("LICENSE", None),
        ("manifest.json", None),
        ("model.sig", None),
        ("sub/model.sig", "file-type"),
        ("pytorch_model.bin", "pickle"),
        ("custom_generate/generate.py", "code"),
        ("../x.json", "name"),
        ("/x.json", "name"),
        ("a/b/c/d/x.json", "depth"),
        (".gitattributes", "hidden"),
        (".cache/x.json", "hidden"),
    ],
)
def test_a_name_alone_can_be_refused(name, rule):
    refusal = policy.name_refusal(name)
    assert (refusal.rule if refusal else None) == rule
