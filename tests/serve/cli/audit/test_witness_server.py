"""`audit witness run`: a process of its own that a server's client can ask."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serve.cli.audit import run_audit
from serve.cli.audit.logs import log_keys
from serve.cli.audit.witness_server import (
    add_server,
    answering,
    config_of,
    follow,
    listening_by_flag,
)
from serve.composition.tls import build_encryption
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.key_files import read_signer, read_verifiers
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.witness.application import WitnessApplication
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.followed_keys import FollowedKeys
from serve.governance.audit.witness.state import WitnessState
from serve.governance.audit.witness.submitting import Submitter
from serve.governance.audit.witness.witness_file import load
from serve.observe.metrics import Metrics
from tests.certificates import Authority
from tests.house.tree import ROOT
from tests.serve.cli.audit.site import Site, calls


def words(site: Site, *more: str) -> list[str]:
    return [
        *("--state", str(site.root / "state"), "--key", str(site.witness_key)),
        *("--log-key", str(site.public), *more),
    ]


def parsed(site: Site, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server(parser.add_subparsers())
    return parser.parse_args(["run", *words(site, *more)])


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


@pytest.mark.parametrize(
    ("host", "why"),
    [("127.0.0.1", "Address already in use.*another port with --listen"),
     ("192.0.2.1", "address of this machine with --listen")],
)  # fmt: skip
def test_where_it_cannot_listen_its_own_flag_is_named(site, host, why):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"{host}:{taken.getsockname()[1]}"
        files = Authority(site.root).issue()
        flags = ["--ssl-certfile", str(files.chain), "--ssl-keyfile", str(files.secret)]
        config = config_of(parsed(site, "--listen", listen, *flags))
        with pytest.raises(StartupError, match=why) as refused, listening_by_flag(config):
            pass
    assert f"cannot listen on {listen}: " in str(refused.value)
    assert not re.search("--port|--host", str(refused.value))


async def test_new_logs_are_known_while_it_runs(site, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    shutil.copy(site.public, keys)
    followed = FollowedKeys([keys], lambda path: log_keys([path]))
    with WitnessState(tmp_path / "state") as state:
        witness = Witness(read_signer(site.witness_key), followed.keys, state)
        following = asyncio.create_task(follow(followed, witness, every_s=0))
        (keys / "new.pub").write_text(NoteSigner("new.example.org", b"n" * 32).verifier.text)
        followed.reload()  # as by SIGHUP; else within a second
        async with asyncio.timeout(20):
            while "new.example.org" not in witness.origins:
                await asyncio.sleep(0)
        following.cancel()
    assert len(witness.origins) == 2


async def test_it_answers_over_https(site, tmp_path):
    await asyncio.to_thread(site.write, calls(3))
    authority = Authority(tmp_path)
    issued = authority.issue()
    flags = ["--ssl-certfile", str(issued.chain), "--ssl-keyfile", str(issued.secret)]
    given = parsed(site, "--listen", "127.0.0.1:0", *flags)
    config = config_of(given)
    kept = CosignedNotes(site.log)
    log = LogFolder(site.log, read_verifiers(site.public))
    with WitnessState(given.state) as state:
        application = WitnessApplication(
            Witness(read_signer(given.key), log_keys(given.log_key), state)
        )
        encryption = build_encryption(config, Metrics())
        async with answering(application, encryption, config) as (url, _):
            assert url.startswith("https://127.0.0.1:")
            for trusted in (Authority(tmp_path, "stranger").file, authority.file):
                (client,) = load(witness_file(site, url, trusted)).clients
                await Submitter(log, kept, [client], every_s=60).submit_all()
                found = kept.read(client.verifier, log.verifiers)
                assert (found is not None) is (trusted == authority.file)
    assert found is not None
    assert found.checkpoint.size == 6


def witness_file(site: Site, url: str, trusted: Path) -> Path:
    file = site.root / "witness.toml"
    file.write_text(
        f'[[witness]]\nurl = "{url}"\naddress = "127.0.0.1"\nport = {url.rpartition(":")[2]}\n'
        f'ca_file = "{trusted}"\nkey = "{site.witness_public.read_text().strip()}"\n'
    )
    return file
