"""Runs that are killed at random: the model is there whole or not at all, and always the same."""

from __future__ import annotations

import itertools

from models.errors import ModelNotFoundError
from models.staging import STAGING
from models.store import DirectoryStore
from models.trust.manifest import Manifest
from models.trust.verify import verify
from tests.kills import Killer, num_kills
from tests.tiny_models import write_tiny_model

PHASES = {"verify": 0.1, "quantise": 1.0, "check": 0.05, "measure": 2.0, "commit": 0.03}


def test_kills_leave_all_or_nothing_and_the_end_is_the_same(tmp_path, pytestconfig):
    source = write_tiny_model(
        tmp_path / "tiny", dtype="bfloat16", num_hidden_layers=12, hidden_size=256
    )
    wanted = None
    # Measuring is most of a run of so small a model; the quick test has no time for it.
    is_quick = num_kills(pytestconfig, quick=1, prove=0)
    phases = {name: s for name, s in PHASES.items() if not (is_quick and name == "measure")}
    killer = Killer(usual_s=4.0 if is_quick else 7.0, phases=phases, program="quantize")
    for attempt in itertools.count():
        data_dir = tmp_path / f"attempt{attempt}"
        store = DirectoryStore(data_dir)
        command = [str(source), "--scheme", "int4", "--shard-size", "0.0005GB"]
        command += ["--no-measure"] if is_quick else []
        while killer.run(*command, "--data-dir", str(data_dir)):
            try:
                found = store.find("tiny--int4")
            except ModelNotFoundError:
                assert not (store.root / "tiny--int4").exists()
            else:
                assert verify(found.path).is_ok
        digest = Manifest.read(store.find("tiny--int4").path).digest
        assert verify(store.root / "tiny--int4").is_ok
        assert digest == (wanted or digest)
        wanted = digest
        assert list((store.root / STAGING).iterdir()) == []
        if killer.num_kills >= num_kills(pytestconfig, quick=5, prove=100):
            break
    print(f"{killer.num_kills} kills, by phase: {killer.kills}")
