"""`audit verify`: the first bad entry, what witnesses signed, and calls that make no sense."""

from __future__ import annotations

import json
import shutil

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from serve.governance.audit.records.canonical import encoded
from tests.serve.cli.audit.site import Site, calls


def verify(site: Site, *words: str) -> int:
    return run_audit(["verify", str(site.audit), "--log-key", str(site.public), *words])


def cosign(site: Site, *words: str) -> int:
    return run_audit(
        [
            *("witness", "cosign", str(site.log), "--state", str(site.root / "state")),
            *("--key", str(site.witness_key), "--log-key", str(site.public), *words),
        ]
    )


def test_a_log_that_is_whole_verifies(site, capsys):
    site.write(calls(150))
    assert verify(site) == 0
    told = capsys.readouterr()
    assert "llm-0: 300 entries verified" in told.out
    assert "150 calls began, 150 ended" in told.out
    assert "could have written all of it anew" in told.err


def test_the_first_bad_entry_is_named(site, capsys):
    site.write(calls(150))
    bundle = site.log / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b'"id":"req-21"', b'"id":"req-12"', 1))
    assert verify(site) == 1
    assert "BAD  entry 42:" in capsys.readouterr().out
    assert verify(site, "--json") == 1
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["bad"]["index"], found["ok"]) == (42, False)


def test_a_log_that_lost_its_checkpoint_is_not_passed_over(site, capsys):
    """Beside another log it would be, where logs were known by their checkpoints."""
    site.write(calls(10))
    shutil.copytree(site.log, site.audit / "llm-1")
    (site.audit / "llm-1" / "checkpoint").unlink()
    assert verify(site) == 1
    assert "llm-1: BAD  the log: there is no checkpoint" in capsys.readouterr().out


def test_an_attacker_with_all_our_keys_is_found_by_the_witness_alone(site, capsys):
    """Yesterday is written anew with root and all keys but the witness's."""
    site.write(calls(150))
    assert cosign(site) == 0
    signed = shutil.copytree(site.log / "cosignatures", site.root / "cosignatures")
    forged = calls(150)
    forged[120] = forged[120].replace(b'"owner":"kim"', b'"owner":"lee"')
    shutil.rmtree(site.log)
    site.write(forged)
    assert verify(site) == 0  # honestly: by itself it verifies
    capsys.readouterr()
    assert cosign(site) == 1
    assert "REFUSED: this is not the log that was cosigned: entry 120 is" in capsys.readouterr().out
    witness = ("--witness-key", str(site.witness_public))
    assert verify(site, *witness) == 1
    assert "BAD  not cosigned by witness.example.org" in capsys.readouterr().out
    shutil.copytree(signed, site.log / "cosignatures")
    assert verify(site, *witness) == 1
    assert "BAD  not the log that was cosigned by witness.example.org: one of" in (
        capsys.readouterr().out
    )


def test_what_a_witness_signed_is_told(site, capsys):
    site.write(calls(100))
    cosign(site)
    site.write(calls(50, 100))
    capsys.readouterr()
    assert verify(site, "--witness-key", str(site.witness_public)) == 0
    told = capsys.readouterr().out
    assert "cosigned by witness.example.org: 200 entries" in told
    assert "100 behind it are not yet" in told


def test_ends_that_make_no_sense_are_named(site, capsys):
    entries = calls(4)
    entries += [
        entries[3],
        encoded({"type": "end", "begin": 99, "id": "x"}),
        encoded({"type": "end", "id": "x"}),
        encoded({"type": "begin", "id": "open"}),
    ]
    site.write(entries)
    assert verify(site) == 1
    told = capsys.readouterr().out
    assert "BAD  entry 8: a second end of the call that began at 2" in told
    assert "BAD  entry 9: an end whose begin is not at 99" in told
    assert "BAD  entry 10: an end that names no begin" in told
    assert "without an end, running or to be ended by the next start: open (11)" in told


def test_a_key_beside_the_log_is_said_to_be_one(site, capsys):
    site.write(calls(3))
    with pytest.raises(StartupError, match="Which key signed llm-0"):
        run_audit(["verify", str(site.audit)])
    shutil.copy(site.public, site.audit / "llm-0.key.pub")
    assert run_audit(["verify", str(site.audit)]) == 0
    assert "held to the key that lies beside it" in capsys.readouterr().err


def test_an_auditor_may_name_the_key_of_commands_too(site, capsys):
    site.write(calls(3))
    shutil.copytree(site.log, site.audit / "cli")
    shutil.copy(site.public, site.audit / "cli.key.pub")
    assert run_audit(["verify", str(site.audit), "--log-key", str(site.public)]) == 0
    assert "held to the key" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["verify"], "Name their folder"),
        (["verify", "{root}"], "is no audit log"),
        (["verify", "{audit}", "--log", "llm-9"], "has no log llm-9: it has llm-0"),
        (["verify", "{audit}", "--log-key", "{root}/witness.key.pub"], "a witness's key"),
        (["verify", "{audit}", "--witness-key", "{root}/log.key.pub"], "a log's key, not"),
        (["verify", "{audit}", "--witnes-key", "x"], "Did you mean --witness-key"),
        (["veriphy"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(site, words, why):
    site.write(calls(3))
    shutil.rmtree(site.root / "empty", ignore_errors=True)
    told = [word.format(root=site.root, audit=site.audit) for word in words]
    if told[1:2] == [str(site.root)]:
        (site.root / "empty").mkdir()
        told[1] = str(site.root / "empty")
    with pytest.raises(StartupError, match=why):
        run_audit(told)
