"""Bundles and imports that are killed at random: whole or not at all, and the next run ends it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from models.bundle import index as bundle_index
from models.staging import STAGING
from models.trust.hashing import sha256_files
from tests.kills import Killer, digest_here, num_kills
from tests.models.bundle.bundles import NAME, contents, model, read, write

INDEX = f"{NAME}.bundle.json"
SPLIT = 64 << 10


@pytest.fixture
def sources(tmp_path) -> list[Path]:
    """Two versions of a model, of some 180 parts each."""
    return [
        model(tmp_path / f"v{number}" / NAME, num_bytes=12_000_000, hidden_size=number)
        for number in range(2)
    ]


def is_whole(folder: Path) -> bool:
    """Whether there is an index; then everything that it lists must be there and right."""
    if not (folder / INDEX).exists():
        return False
    index = bundle_index.parse((folder / INDEX).read_bytes(), where=INDEX)
    found = sha256_files([folder / part.name for part in index.parts])
    assert found == [part.sha256 for part in index.parts]
    return True


def test_killed_bundles_are_none_or_whole(tmp_path, pytestconfig, sources):
    phases = {"verify": 0.05, "write": 1.2, "commit": 0.02}
    killer = Killer(usual_s=1.5, phases=phases, seed=1)
    write(sources[0], tmp_path / "expected", split=SPLIT)
    expected = contents(tmp_path / "expected")
    for attempt in itertools.count():
        out = tmp_path / f"attempt{attempt}"
        words = ["bundle", str(sources[0]), "--out", str(out), "--split", str(SPLIT)]
        while killer.run(*words, "--data-dir", str(tmp_path / "data")):
            is_whole(out)
        assert is_whole(out)
        assert contents(out) == expected
        if killer.num_kills >= num_kills(pytestconfig, quick=5, prove=50):
            break
    print(f"{killer.num_kills} kills, by phase: {killer.kills}")


def test_killed_imports_leave_all_or_nothing(tmp_path, pytestconfig, sources):
    bundles = [tmp_path / f"out{number}" for number in range(2)]
    old, new = (
        write(source, out, split=SPLIT).index.digest
        for source, out in zip(sources, bundles, strict=True)
    )
    phases = {"read": 1.2, "check": 0.05, "commit": 0.02}
    killer = Killer(usual_s=1.5, phases=phases, seed=2)
    for attempt in itertools.count():
        data_dir = tmp_path / f"attempt{attempt}"
        # Into an empty store, then in place of the first.
        steps = [(bundles[0], {None, old}, old), (bundles[1], {old, new}, new)]
        for bundle, allowed, final in steps:
            words = ["import", str(bundle), "--update", "--data-dir", str(data_dir)]
            while killer.run(*words):
                assert digest_here(data_dir, NAME) in allowed
            assert digest_here(data_dir, NAME) == final
            assert list((data_dir / "models" / STAGING).iterdir()) == []
        assert contents(data_dir / "models" / NAME) == contents(sources[1])
        if killer.num_kills >= num_kills(pytestconfig, quick=5, prove=50):
            break
    assert read(data_dir, bundles[1]).outcome == "present"
    print(f"{killer.num_kills} kills, by phase: {killer.kills}")
