"""llama.cpp's own quantised files on the same tokens, each against its own full file.

The files are given, or made from the base's folder as people make them: the weights as they are
in a GGUF, and llama.cpp's own quantisation of that, without an importance matrix.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.compare import llama as programs
from benchmarks.quality.agreement import by_source
from benchmarks.quality.formulas import Rows
from benchmarks.quality.sequences import Forced
from benchmarks.quality.table import Row
from models.progress import Progress
from models.refs import Artifact

SYSTEM = "llama.cpp"
KINDS = ("q8_0", "q4_0", "q4_k_m")
_FULL = "bf16"
_HERE = Path(programs.__file__).parent


class LlamaError(ValueError):
    """llama.cpp cannot be run, or not on this model."""


def check(python: Path) -> None:
    """Raises LlamaError: there is no such interpreter."""
    if shutil.which(str(python)) is None:
        raise LlamaError(
            f"{python} is no interpreter: make an environment with `pip install llama-cpp-python "
            "gguf`, and name its python with --llama-cpp-python"
        )


def files_of(base: Artifact, python: Path, cache_dir: Path, progress: Progress) -> list[Path]:
    """The base as GGUF, then in each of ``KINDS``; made where the cache has none.

    Args:
        base: a Qwen2 or Llama in full.
        python: an interpreter with llama-cpp-python and gguf.
        cache_dir: where the files are kept; they are as large as the weights.
        progress: told which is made.

    Raises:
        LlamaError: they cannot be made.
    """
    stored = sorted(base.path.glob("*.safetensors"))
    # Another folder of the same name is another model.
    mark = sum(path.stat().st_mtime_ns for path in stored) % 2**32
    folder = cache_dir / "gguf" / f"{base.name}-{mark:08x}"
    folder.mkdir(parents=True, exist_ok=True)
    full = folder / f"{_FULL}.gguf"
    if not full.is_file():
        progress.phase("gguf-bf16")
        _run(python, "write_gguf.py", base.path, full, _FULL)
    files = [full]
    for kind in KINDS:
        file = folder / f"{kind}.gguf"
        if not file.is_file():
            progress.phase(f"gguf-{kind}")
            _run(python, "quantise_gguf.py", full, file, kind)
        files.append(file)
    return files


def rows(
    files: Sequence[Path], forced: Sequence[Forced], python: Path, progress: Progress
) -> list[Row]:
    """Every file but the first against the first.

    Args:
        files: GGUF; the first is the full one.
        forced: in the tokens of the model, which are the files' own.
        python: an interpreter with llama-cpp-python.
        progress: told that it runs.

    Raises:
        LlamaError: llama.cpp cannot run one of them.
    """
    progress.phase("llama.cpp")
    sequences = [{"given": sequence.given, "scored": sequence.scored} for sequence in forced]
    output = _run(
        python,
        "quality_worker.py",
        torch.get_num_threads(),
        *files,
        standard_input=json.dumps({"sequences": sequences}) + "\n",
    )
    return [
        Row(
            system=SYSTEM,
            name=file.stem,
            weight_bytes=file.stat().st_size,
            agreement=by_source(forced, _rows(line)),
            evaluation=None,
            tokens_s=None,
        )
        for file, line in zip(files[1:], output.splitlines(), strict=True)
    ]


def _rows(line: str) -> Rows:
    columns = json.loads(line)
    numbers = {
        name: torch.tensor(columns[name], dtype=torch.float64)
        for name in ("base_nll", "quantised_nll", "kl")
    }
    return Rows(**numbers, same_top=torch.tensor(columns["same_top"]))


def _run(python: Path, program: str, *words: object, standard_input: str = "") -> str:
    """Run a program of ours under that interpreter; returns its output. Raises LlamaError."""
    command = [str(python), str(_HERE / program), *map(str, words)]
    done = subprocess.run(  # noqa: S603 - ours
        command, input=standard_input, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LlamaError(f"llama.cpp, {program}: {done.stderr.strip()[-500:]}")
    return done.stdout
