"""`audit prove`: a third party with two files and a public key, by our check and by another's."""

from __future__ import annotations

import json
import shutil

import pytest

from serve.cli.audit import run_audit
from serve.errors import StartupError
from tests.independent_tlog import proofs
from tests.independent_tlog.notes import PublicKey, Refused
from tests.serve.cli.audit.site import Site, calls
from tests.serve.cli.audit.test_export import filled
from tests.serve.cli.audit.test_verdicts import cosign


def prove(site: Site, what: str, *words: str) -> int:
    place = ["--dir", str(site.audit), "--log-key", str(site.public)]
    return run_audit(["prove", what, *place, "--out", str(site.root / "A"), *words])


def check(site: Site, index: int, *words: str) -> int:
    pair = [f"{site.root}/A-{index}.tlog-proof", "--entry", f"{site.root}/A-{index}.json"]
    return run_audit(["prove", "--check", *pair, "--log-key", str(site.public), *words])


@pytest.fixture
def keys(site) -> list[PublicKey]:
    return [PublicKey.parse(path.read_text()) for path in (site.public, site.witness_public)]


def test_a_request_is_proven_by_its_begin_and_its_end(site, keys, capsys):
    site.write(calls(300))
    assert prove(site, "req-130") == 0
    for index in (260, 261):
        assert check(site, index) == 0
        assert f"proven: entry {index} of example.org/audit/llm-0" in capsys.readouterr().out
        proof = (site.root / f"A-{index}.tlog-proof").read_bytes()
        entry = (site.root / f"A-{index}.json").read_bytes()
        assert json.loads(entry)["id"] == "req-130"
        found, checkpoint = proofs.verify(proof, entry, keys[0])
        assert (found, checkpoint.size) == (index, 600)
        with pytest.raises(Refused, match="a witness did not sign"):
            proofs.verify(proof, entry, keys[0], keys[1:])


def test_a_request_is_found_by_its_answers_id_in_whichever_log(site, capsys):
    digits = "0123456789abcdef" * 2
    site.write([line.replace(b"req-3", f"req-{digits}".encode()) for line in calls(5)])
    shutil.copytree(site.log, site.audit / "gpu-1")
    shutil.rmtree(site.log)
    site.write(calls(2))
    assert prove(site, f"chatcmpl-{digits}") == 0
    assert f"A-7.json  {site.root}/A-7.tlog-proof" in capsys.readouterr().out
    with pytest.raises(StartupError, match=r"several logs .gpu-1, llm-0.: name one with --log"):
        prove(site, "3")
    with pytest.raises(StartupError, match="no entry of a request 'req-9' in gpu-1, llm-0"):
        prove(site, "req-9")


def test_a_call_that_generates_nothing_is_proven_by_its_one_record(site, capsys):
    site.write([b'{"id":"req-7","type":"call"}', *calls(2)])
    assert prove(site, "req-7") == 0
    assert capsys.readouterr().out == f"{site.root}/A-0.json  {site.root}/A-0.tlog-proof\n"


def test_a_proof_may_ask_for_a_witness(site, keys, capsys):
    site.write(calls(20))
    assert cosign(site) == 0
    site.write(calls(20, 20))
    witness = ("--witness-key", str(site.witness_public))
    assert prove(site, "12", *witness) == 0
    assert check(site, 12, *witness) == 0
    assert "cosigned by witness.example.org on" in capsys.readouterr().out
    pair = [(site.root / f"A-12.{kind}").read_bytes() for kind in ("tlog-proof", "json")]
    assert proofs.verify(pair[0], pair[1], keys[0], keys[1:])[1].size == 40
    with pytest.raises(StartupError, match="has signed 40 entries: entry 50 is not there"):
        prove(site, "50", *witness)


def test_another_entry_and_another_key_do_not_hold(site, capsys):
    site.write(calls(20))
    assert prove(site, "7") == 0
    entry = site.root / "A-7.json"
    entry.write_bytes(entry.read_bytes().replace(b"done", b"dome"))
    capsys.readouterr()
    assert check(site, 7) == 1
    assert "NOT PROVEN: this entry is not entry 7" in capsys.readouterr().out
    assert check(site, 7, "--json") == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert run_audit(["key", "generate", str(site.root / "x"), "--name", "example.org/x"]) == 0
    pair = [f"{site.root}/A-7.tlog-proof", "--entry", str(entry)]
    words = ["prove", "--check", *pair, "--log-key", str(site.root / "x.pub")]
    assert run_audit(words) == 1
    assert prove(site, "7") == 0
    assert check(site, 7, "--witness-key", str(site.witness_public)) == 1


def test_an_answer_itself_is_shown_and_no_other_call(site, capsys):
    filled(site, 8)  # calls 0 and 4 are the same person's
    assert prove(site, "0", "--content-key-file", str(site.content_key)) == 0
    capsys.readouterr()
    content = site.root / "A-0.content"
    assert check(site, 0, "--content", str(content)) == 0
    assert '{"text": "secret 0"}' in capsys.readouterr().out
    assert prove(site, "8", "--log", "llm-0", "--content-key-file", str(site.content_key)) == 0
    capsys.readouterr()
    assert check(site, 8, "--content", str(content), "--json") == 1
    assert "of another document" in json.loads(capsys.readouterr().out)["reason"]
    mixed = json.loads(content.read_text())
    mixed["frame"] = json.loads((site.root / "A-8.content").read_text())["frame"]
    content.write_text(json.dumps(mixed))
    assert check(site, 8, "--content", str(content)) == 1
    assert "does not open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "words", "why"),
    [
        ("40", (), "no entry 40: the log has 0 to 39"),
        ("req-99", (), "no entry of a request 'req-99'"),
        ("1", ("--entry", "x"), "--entry and --content go with --check"),
        ("1", ("--check", "x"), "--check needs no log"),
    ],
)
def test_what_cannot_be_proven_is_said(site, what, words, why):
    site.write(calls(20))
    with pytest.raises(StartupError, match=why):
        prove(site, what, *words)
