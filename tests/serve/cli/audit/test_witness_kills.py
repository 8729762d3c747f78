"""A witness that is killed at random: what it signed, it remembers, and never less."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import threading

import pytest

from serve.governance.alerts.pinned_http import PinnedHttp, Target
from serve.governance.alerts.pinning import PinnedHost, network_of
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner
from serve.governance.audit.witness.client import (
    WitnessAwayError,
    WitnessClient,
    WitnessHasError,
    WitnessRefusedError,
)
from tests.house.tree import ROOT
from tests.kills import num_kills
from tests.serve.governance.audit.witness.trees import LOG_KEY, tree

WITNESS = NoteSigner("witness.example.org", b"w" * 32, COSIGNATURE)
LOG = tree(4000)
FORGED = tree(4000, changed=0)


async def submit(port: int, size: int) -> tuple[int, int]:
    """Submit growth until the witness is gone; the last size that it signed, and that it had."""
    target = Target(scheme="http", host="127.0.0.1", port=port, path="/")
    pinned = PinnedHost(host="127.0.0.1", port=port, network=network_of("127.0.0.1"))
    client = WitnessClient(WITNESS.verifier, PinnedHttp(target, pinned, None, 10.0))
    had = size
    try:
        await client.cosigned(0, (), LOG.checkpoint(1))
        had = size = 1
    except WitnessHasError as error:
        had = size = error.size
        with pytest.raises((WitnessRefusedError, WitnessAwayError)):
            await client.cosigned(size, (), FORGED.checkpoint(size))
    except WitnessAwayError:
        return size, had
    while size < len(LOG.entries):
        try:
            await client.cosigned(size, LOG.proof(size, size + 1), LOG.checkpoint(size + 1))
        except WitnessAwayError:
            break
        size += 1
    return size, had


def test_kills_make_a_witness_forget_nothing(tmp_path, request, is_proving) -> None:
    if not is_proving:
        pytest.skip("starts a process for each kill; run by `make prove`")
    (tmp_path / "key").write_text(WITNESS.private_text)
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "log.pub").write_text(LOG_KEY.verifier.text)
    words = ["--state", str(tmp_path / "state"), "--key", str(tmp_path / "key")]
    command = [sys.executable, "-m", "serve", "audit", "witness", "run", "--listen", "127.0.0.1:0"]
    draw, signed = random.Random(7), 0
    for _ in range(num_kills(request.config, quick=1, prove=20)):
        process = subprocess.Popen(
            [*command, *words, "--log-key", str(tmp_path / "log.pub")],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        found = re.search(r":(\d+)$", json.loads(process.stderr.readline())["url"])
        assert found is not None
        killing = threading.Timer(draw.uniform(0.01, 1.0), process.kill)
        killing.start()
        try:
            last, had = asyncio.run(submit(int(found[1]), signed))
        finally:
            killing.join()
            process.communicate()
        # It may have kept one more than it could say, and never one fewer.
        assert signed <= had <= signed + 1
        signed = last
    assert signed > 20
