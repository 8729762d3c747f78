"""llama.cpp's rows, by an interpreter that stands in for the one that has it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.quality import llama
from benchmarks.quality.sequences import Forced
from models.progress import Progress, Silent
from models.refs import Artifact

FORCED = [
    Forced(source="a", given=(1,), scored=(2, 3)),
    Forced(source="b", given=(4, 5), scored=(6,)),
]
STANDING = """#!{python}
import json, pathlib, sys
program, *words = sys.argv[1:]
log = pathlib.Path(__file__).with_suffix(".log")
log.open("a").write(json.dumps([pathlib.Path(program).name, *words]) + "\\n")
if program.endswith("gguf.py"):
    pathlib.Path(words[1]).write_text(words[2])
else:
    count = sum(len(each["scored"]) for each in json.loads(sys.stdin.readline())["sequences"])
    for number, _ in enumerate(words[2:]):
        numbers = [0.1 * (number + 1)] * count
        print(json.dumps(dict(base_nll=numbers, quantised_nll=numbers, kl=numbers,
                              same_top=[True] * count)))
"""


@pytest.fixture
def python(tmp_path) -> Path:
    path = tmp_path / "python"
    path.write_text(STANDING.format(python=sys.executable))
    path.chmod(0o755)
    return path


def said(python: Path) -> list[list[str]]:
    return [json.loads(line) for line in python.with_suffix(".log").read_text().splitlines()]


def test_files_are_made_once_for_these_weights(tmp_path, python):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    base = Artifact(name="m", path=folder)
    progress = Progress(Silent())
    files = llama.files_of(base, python, tmp_path, progress)
    assert [file.stem for file in files] == ["bf16", "q8_0", "q4_0", "q4_k_m"]
    assert [file.read_text() for file in files] == [file.stem for file in files]
    assert [program for program, *_ in said(python)] == ["write_gguf.py", *["quantise_gguf.py"] * 3]
    assert llama.files_of(base, python, tmp_path, progress) == files
    assert len(said(python)) == 4
    (folder / "other.safetensors").touch()
    assert llama.files_of(base, python, tmp_path, progress) != files


def test_every_file_is_a_row_against_the_first(tmp_path, python):
    files = [tmp_path / f"{name}.gguf" for name in ("bf16", "q8_0", "q4_0")]
    for size, file in enumerate(files):
        file.write_bytes(bytes(size))
    rows = llama.rows(files, FORCED, python, Progress(Silent()))
    assert [(row.system, row.name, row.weight_bytes) for row in rows] == [
        ("llama.cpp", "q8_0", 1),
        ("llama.cpp", "q4_0", 2),
    ]
    assert list(rows[0].agreement) == ["a", "b", "all"]
    assert rows[1].agreement["all"].kl.mean == pytest.approx(0.2)
    assert rows[0].agreement["a"].tokens == 2


def test_an_interpreter_that_is_not_there_or_fails(tmp_path, python):
    with pytest.raises(llama.LlamaError, match="is no interpreter"):
        llama.check(tmp_path / "nowhere")
    llama.check(python)
    python.write_text(f"#!{sys.executable}\nraise SystemExit('no llama_cpp')\n")
    with pytest.raises(llama.LlamaError, match=r"quality_worker\.py: no llama_cpp"):
        llama.rows([tmp_path / "a.gguf"], FORCED, python, Progress(Silent()))
