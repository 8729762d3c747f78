"""Pulls that are killed at random: the model is there whole or not at all, and always comes."""

from __future__ import annotations

import itertools

from models.refs import ModelRef
from models.staging import STAGING
from tests.hub.emulator import Hub
from tests.hub.pulls import NAME, REPO, pull, tiny_repo
from tests.kills import Killer, digest_here, num_kills

VERSIONS = (tiny_repo(), tiny_repo(num_bytes=290_000, hidden_size=8))
PHASES = {"resolve": 0.03, "fetch": 0.6, "check": 0.03, "commit": 0.03}


def test_kills_leave_all_or_nothing_and_the_next_pull_ends_it(tmp_path, pytestconfig, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub(bytes_per_s=600_000) as hub:
        commits = [hub.add(REPO, files) for files in VERSIONS]
        old, new = (
            pull(hub, tmp_path / commit, ref=ModelRef(repo=REPO, revision=commit)).digest
            for commit in commits
        )
        environment = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
        killer = Killer(usual_s=1.5, phases=PHASES, environment=environment)
        for attempt in itertools.count():
            data_dir = tmp_path / f"attempt{attempt}"
            # Into an empty store, then in place of the first.
            steps = [(commits[0], {None, old}, old), (commits[1], {old, new}, new)]
            for commit, allowed, final in steps:
                command = ["pull", f"{REPO}@{commit}", "--update", "--data-dir", str(data_dir)]
                while killer.run(*command):
                    assert digest_here(data_dir, NAME) in allowed
                assert digest_here(data_dir, NAME) == final
                assert list((data_dir / "models" / STAGING).iterdir()) == []
            if killer.num_kills >= num_kills(pytestconfig, quick=5, prove=100):
                break
    print(f"{killer.num_kills} kills, by phase: {killer.kills}")
