"""The journal: what a run that was stopped had done, and whether it holds for this one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from models.refs import QuantScheme
from quantize.plan import layout
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.journal import NAME, Done, Journal, fingerprint
from quantize.write.row_chunks import LayerError
from tests.quantize.source_tensors import model

DONE = Done(
    sha256="ab" * 32,
    size=5,
    layers=(LayerError(name="m", error=1.0, rtn_error=2.0, energy=3.0),),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.safetensors").write_bytes(b"12345")
    return tree


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def loaded(parts: Path, tree: Path, mark: str = "x") -> dict[str, Done] | None:
    """What the next run takes up; None where it begins anew."""
    journal = Journal(parts, mark)
    return journal.done if journal.load(tree) else None


def test_what_was_entered_is_taken_up(parts: Path, tree: Path) -> None:
    Journal(parts, "x").enter("a.safetensors", DONE)
    assert loaded(parts, tree) == {"a.safetensors": DONE}


def test_another_plan_takes_up_nothing(parts: Path, tree: Path) -> None:
    Journal(parts, "x").enter("a.safetensors", DONE)
    assert loaded(parts, tree, "y") is None


def test_a_shard_that_is_gone_or_of_another_size_is_made_again(parts: Path, tree: Path) -> None:
    journal = Journal(parts, "x")
    journal.enter("a.safetensors", DONE)
    journal.enter("b.safetensors", DONE)
    (tree / "a.safetensors").write_bytes(b"1234")
    assert loaded(parts, tree) == {}


def test_without_a_journal_only_an_empty_folder_is_gone_on_with(parts: Path, tree: Path) -> None:
    assert loaded(parts, tree) is None
    (tree / "a.safetensors").unlink()
    assert loaded(parts, tree) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"fingerprint": "x"}',
        '{"fingerprint": "x", "done": {"a": {"size": 1}}}',
        json.dumps({"fingerprint": "x", "done": {"a": {"sha256": "", "size": 1, "layers": [{}]}}}),
    ],
)
def test_a_damaged_journal_begins_anew(parts: Path, tree: Path, text: str) -> None:
    (parts / NAME).write_text(text)
    assert loaded(parts, tree) is None


def test_what_is_forgotten_stays_so(parts: Path, tree: Path) -> None:
    journal = Journal(parts, "x")
    journal.enter("a.safetensors", DONE)
    journal.forget()
    assert journal.done == {}
    assert loaded(parts, tree) == {}


def test_the_fingerprint_is_of_all_that_the_bytes_depend_on() -> None:
    options = QuantOptions(scheme=QuantScheme.INT8)
    made, _ = plan(model(), {}, options)
    shards = layout.shards_of(made.outputs)
    other, _ = plan(model(), {}, replace(options, ignore="o_proj"))
    marks = {
        fingerprint("sha256:1", made, shards),
        fingerprint("sha256:2", made, shards),
        fingerprint("sha256:1", made, layout.shards_of(made.outputs, 100_000)),
        fingerprint("sha256:1", other, layout.shards_of(other.outputs)),
        fingerprint("sha256:1", plan(model(), {"x": 1}, options)[0], shards),
    }
    assert len(marks) == 5
    assert fingerprint("sha256:1", plan(model(), {}, options)[0], shards) in marks


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.write_text("[" * 100_000)])
def test_what_is_no_journal_is_of_something_else(parts: Path, tree: Path, put) -> None:
    put(parts / NAME)
    assert loaded(parts, tree) is None
