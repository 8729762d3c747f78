"""llama.cpp is started for a comparison, or is missing with a hint."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.cases import Case
from benchmarks.compare.llama import running as llama
from benchmarks.compare.systems import Bench, MissingError
from models.refs import QuantScheme
from models.store import demo


def bench(tmp_path: Path, python: Path | None) -> Bench:
    return Bench(full=demo(), cache_dir=tmp_path, dtype="auto", cases=(), llama_python=python)


@pytest.mark.parametrize("python", [None, Path("/nowhere/python"), Path(sys.executable)])
async def test_without_llama_cpp_it_says_how_to_get_it(python: Path | None, tmp_path: Path) -> None:
    """This interpreter has no gguf either, so it stands for one without what is needed."""
    with pytest.raises(MissingError, match="pip install llama-cpp-python"):
        await llama.start(bench(tmp_path, python), QuantScheme.INT8)
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "gguf" in name]


class Child:
    """A worker that answers with these lines, and keeps what it is asked."""

    def __init__(self, *lines: dict) -> None:
        answers = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self.process = SimpleNamespace(stdin=io.BytesIO(), stdout=answers)
        self.is_closed = False

    def log_end(self) -> str:
        return "cannot run it"

    async def close(self) -> None:
        self.is_closed = True


async def test_an_answer_of_the_worker_is_a_trace_for_each_prompt() -> None:
    child = Child({"sent_at": 1.0, "arrivals_at": [[2.0, 3.0], [2.5, 3.5]]})
    traces = await llama.Worker(child).ask_all("x", [[1, 2, 3], [4]], 2)
    asked = json.loads(child.process.stdin.getvalue())
    assert asked == {"prompts": [[1, 2, 3], [4]], "max_tokens": 2}
    assert [trace.prompt_tokens for trace in traces] == [3, 1]
    assert [trace.finished_at for trace in traces] == [3.0, 3.5]
    assert {(trace.sent_at, trace.completion_tokens) for trace in traces} == {(1.0, 2)}


async def test_a_worker_that_ended_is_told_with_its_last_words() -> None:
    with pytest.raises(RuntimeError, match=r"llama\.cpp ended: cannot run it"):
        await llama.Worker(Child()).ask_all("x", [[1]], 2)


async def test_a_worker_that_does_not_come_up_is_missing_and_closed(monkeypatch, tmp_path) -> None:
    child = Child()
    monkeypatch.setattr(llama, "Child", lambda *_, **__: child)
    case = Case(phase="decode", batch=2, prompt_tokens=4, max_tokens=8)
    there = replace(bench(tmp_path, Path(sys.executable)), cases=(case,))
    file = tmp_path / "gguf" / "demo.q4_0.gguf"
    file.parent.mkdir()
    file.write_bytes(b"12345")
    with pytest.raises(MissingError, match="cannot run it"):
        await llama.start(there, QuantScheme.INT4)
    assert child.is_closed
    monkeypatch.setattr(llama, "Child", lambda *_, **__: Child({"ready": "0.3"}))
    up = await llama.start(there, QuantScheme.INT4)
    assert (up.weight_bytes, up.kv_dtype) == (5, "float16")
