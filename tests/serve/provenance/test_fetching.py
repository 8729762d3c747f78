"""What counts as here, as a repository, and as a mistake; and the process that fetches.

That process is `python -m models pull`; tests/e2e/test_pull.py has it against the hub emulator.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.errors import ModelNotFoundError
from models.lockfile import LockFile, Pin
from models.target import ModelTarget
from serve.errors import StartupError
from serve.provenance import child
from serve.provenance.fetching import is_here, obtain

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen2-7b", "qwen2-7b"),
        ("qwen2-7b@v1", "qwen2-7b"),
        ("acme/tune", "acme/tune"),
        ("acme/tune@v2", "acme/tune"),
    ],
)
def test_repositories(text: str, name: str) -> None:
    target = ModelTarget.parse(text)
    assert target.is_fetchable
    assert target.base.text == name


@pytest.mark.parametrize(
    "text", ["demo", "no-such-alias", "./acme/tune", "/a/b", "~/a", "models/x"]
)
def test_what_is_never_fetched(text: str, tmp_path: Path) -> None:
    target = ModelTarget.parse(text)
    assert not target.is_fetchable
    assert target.base.text == text
    if text != "demo":
        with pytest.raises(ModelNotFoundError):
            is_here(target, tmp_path)


def test_a_revision_is_here_if_it_is_the_one_that_was_pulled(tmp_path: Path) -> None:
    assert not is_here(ModelTarget.parse("acme/tune@v2"), tmp_path)
    (tmp_path / "models" / "acme--tune").mkdir(parents=True)
    assert is_here(ModelTarget.parse("acme/tune"), tmp_path)
    assert not is_here(ModelTarget.parse("acme/tune@v2"), tmp_path)
    pin = Pin(digest="sha256:" + "0" * 64, repo="acme/tune", revision="v2", commit=COMMIT)
    LockFile(tmp_path).put("acme--tune", pin)
    assert is_here(ModelTarget.parse("acme/tune@v2"), tmp_path)
    assert is_here(ModelTarget.parse(f"acme/tune@{COMMIT}"), tmp_path)
    assert not is_here(ModelTarget.parse("acme/tune@v3"), tmp_path)


def put_in_place(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Have another program fetch: `python -c PROGRAM -m models pull ...`."""
    start = asyncio.create_subprocess_exec

    async def other(executable: str, *words: str, **options: object) -> asyncio.subprocess.Process:
        return await start(executable, "-c", program, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(child.asyncio, "create_subprocess_exec", other)


async def fetched(data_dir: Path, phases: list[tuple[str, int, int]]) -> None:
    await obtain(
        ModelTarget.parse("acme/tune"),
        data_dir,
        environment={},
        is_offline=False,
        progress=lambda *at: phases.append(at),
    )


async def test_its_progress_is_passed_on_and_its_error_is_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    event = {"event": "progress", "phase": "fetch", "done_bytes": 3, "total_bytes": 9}
    error = {"event": "error", "kind": "OriginError", "message": "the mirror is closed"}
    lines = f"import json\nprint('noise')\nprint(json.dumps({event}))\nprint(json.dumps({error}))"
    put_in_place(monkeypatch, lines + "\nraise SystemExit(2)")
    phases: list[tuple[str, int, int]] = []
    with pytest.raises(StartupError, match="the mirror is closed"):
        await fetched(tmp_path, phases)
    assert phases == [("download", 3, 9)]
