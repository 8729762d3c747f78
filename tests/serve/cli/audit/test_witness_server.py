"""`audit witness run`: a process of its own that a server's client can ask."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.key_files import read_verifiers
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.governance.audit.witness.submitting import Submitter
from serve.governance.audit.witness.witness_file import load
from tests.house.tree import ROOT
from tests.serve.cli.audit.site import Site, calls


def words(site: Site, *more: str) -> list[str]:
    return [
        *("--state", str(site.root / "state"), "--key", str(site.witness_key)),
        *("--log-key", str(site.public), *more),
    ]


def test_a_process_that_witnesses(site, is_proving):
    if not is_proving:
        pytest.skip("starts a process, two seconds; run by `make prove`")
    site.write(calls(3))
    command = [sys.executable, "-m", "serve", "audit", "witness", "run", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, *words(site)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        started = json.loads(process.stderr.readline())
        port = re.search(r":(\d+)$", started["url"])[1]
        file = site.root / "witness.toml"
        file.write_text(
            f'[[witness]]\nurl = "http://127.0.0.1:{port}"\naddress = "127.0.0.1"\nport = {port}\n'
            f'allow_http = true\nkey = "{site.witness_public.read_text().strip()}"\n'
        )
        log = LogFolder(site.log, read_verifiers(site.public))
        kept = CosignedNotes(site.log)
        (client,) = load(file).clients
        asyncio.run(Submitter(log, kept, [client], every_s=60).submit_all())
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    found = kept.read(client.verifier, log.verifiers)
    assert found is not None, rest
    assert found.checkpoint.size == 6
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--listen", "0.0.0.0:8321"], "is not loopback and there is no TLS"),
        (["--listen", "8321"], "a host and a port"),
        (["--ssl-certfile", "x"], "go together"),
    ],
)
def test_where_it_may_not_listen(site, more, why):
    with pytest.raises(StartupError, match=why):
        run_audit(["witness", "run", *words(site, *more)])
