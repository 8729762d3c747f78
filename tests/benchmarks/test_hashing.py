from __future__ import annotations

import json

import pytest

from benchmarks import hashing
from tests.programs import needs

needs_commands = needs("openssl", "xargs")


@needs_commands
@pytest.mark.parametrize("more", [[], ["--cold"]])
def test_both_ways_agree_and_the_last_line_is_json(tmp_path, capsys, more):
    words = ["--gb", "0.002", "--files", "5", "--rounds", "2", "--folder", str(tmp_path)]
    assert hashing.main([*words, *more]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["ratio"] > 0
    assert facts["files"] == 5
    assert list(tmp_path.iterdir()) == []


@needs_commands
def test_digests_that_differ_end_it(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "sha256_files", lambda paths: ["00" * 32 for _ in paths])
    with pytest.raises(SystemExit, match="the digests differ"):
        hashing.main(["--gb", "0.001", "--files", "1", "--folder", str(tmp_path)])


def test_files_have_the_size_that_was_asked_for(tmp_path):
    paths = hashing.make_files(tmp_path, 1_000_000, 4)
    sizes = [path.stat().st_size for path in paths]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == pytest.approx(1_000_000, abs=100)
