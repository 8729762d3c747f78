"""`audit witness cosign|check`: the auditor's visit, for people and for programs."""

from __future__ import annotations

import json
import shutil

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.witness.state import origin_hash
from tests.independent_tlog.notes import PublicKey, opened
from tests.serve.cli.audit.site import ORIGIN, Site, calls
from tests.serve.cli.audit.test_verdicts import cosign


def check(site: Site, *words: str) -> int:
    return run_audit(
        [
            *("witness", "check", str(site.log), "--state", str(site.root / "state")),
            *("--key", str(site.witness_key), "--log-key", str(site.public), *words),
        ]
    )


def test_visits_of_an_auditor(site, capsys):
    site.write(calls(150))
    with pytest.raises(StartupError, match=f"nothing to hold {ORIGIN} against"):
        check(site)  # another state than the witness's must not look like a log that holds
    out = site.root / "cosigned"
    assert cosign(site, "--out", str(out)) == 0
    assert not (site.log / "cosignatures").exists()
    _, note = opened(out.read_bytes(), PublicKey.parse(site.public.read_text()))
    assert note.trusted(PublicKey.parse(site.witness_public.read_text()))
    site.write(calls(10, 150))
    assert check(site, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cosigned"] == 300
    shutil.rmtree(site.log)
    site.write(calls(100))
    for ask in (check, cosign):
        assert ask(site, "--json") == 1
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["differs"] == {"first": 200, "last": 200, "missing": True}
        assert (told["ok"], told["cosigned"]["size"]) == (False, 300)


def test_a_damaged_memory_is_never_replaced_by_a_new_one(site):
    site.write(calls(3))
    assert cosign(site) == 0
    (site.root / "state" / origin_hash(ORIGIN) / "checkpoint").write_bytes(b"?")
    with pytest.raises(StartupError, match="Restore it from a copy"):
        cosign(site)


def test_a_logs_key_cannot_witness(site):
    site.write(calls(3))
    with pytest.raises(StartupError, match="cosignatures, not for notes"):
        run_audit(
            [
                *("witness", "check", str(site.log), "--state", str(site.root / "s")),
                *("--key", str(site.key), "--log-key", str(site.public)),
            ]
        )
