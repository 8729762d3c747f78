"""The verifier: it finds every change, needs nothing of ours, and is short enough to be read."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from serve.evidence import folder, verify_evidence
from serve.evidence.part import Part
from tests.serve.evidence.notes import TestSigner

PROGRAM = Path(verify_evidence.__file__)
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (  # C2SP signed-note, "Example"
    "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6Tf"
    "Xppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PARTS = (
    Part(
        name="settings", state="whole", summary="Two files.", files={"a.json": b"1", "b/c": b"22"}
    ),
    Part(name="egress", state="missing", summary="No trace."),
)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    out = tmp_path / "evidence"
    folder.write(out, PARTS, TestSigner())
    return out


def check(out: Path, *more: str, key: str = TestSigner().verifier_key) -> int:
    return verify_evidence.main([str(out), "--key", key, *more])


def test_it_is_short_and_imports_the_standard_library_alone() -> None:
    source = PROGRAM.read_text("utf-8")
    assert len(source.splitlines()) <= 300
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    imported |= {
        (node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= set(sys.stdlib_module_names)


def test_it_runs_from_the_folder_without_us(evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(TestSigner().verifier_key)
    words = [sys.executable, "-I", str(PROGRAM), str(evidence), "--key", str(tmp_path / "key")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 files: all hold" in done.stdout
    assert "missing egress: No trace." in done.stdout


def test_the_specifications_own_example_holds() -> None:
    key = verify_evidence.parse_key(EXAMPLE_KEY)
    assert verify_evidence.open_note(EXAMPLE, key) == "This is an example message.\n"
    with pytest.raises(verify_evidence.Bad, match="does not hold"):
        verify_evidence.open_note(EXAMPLE.replace("an example", "no example"), key)


def test_signatures_hold_and_changed_ones_do_not() -> None:
    chance = random.Random(3)
    for _ in range(20):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        message = chance.randbytes(chance.randrange(100))
        signature = key.sign(message)
        public = key.public_key().public_bytes_raw()
        assert verify_evidence.is_signed(public, message, signature)
        bit = chance.randrange(512)
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify_evidence.is_signed(public, message, bytes(changed))
        assert not verify_evidence.is_signed(public, message + b"x", signature)


def test_a_signature_that_is_not_reduced_is_refused() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature, public = key.sign(b"m"), key.public_key().public_bytes_raw()
    s = int.from_bytes(signature[32:], "little") + verify_evidence.ORDER
    assert not verify_evidence.is_signed(public, b"m", signature[:32] + s.to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.json", b"2", "its bytes are not those"),
        ("a.json", b"11", "its bytes are not those"),
        ("new", b"", "the index does not list it"),
        ("b/new", b"", "the index does not list it"),
    ],
)
def test_a_changed_or_added_file_is_found(
    evidence: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, told: str
) -> None:
    (evidence / name).write_bytes(data)
    assert check(evidence) == 1
    assert f"FAULT: {name}: " in (out := capsys.readouterr().out)
    assert told in out
    assert out.endswith("\n2 files: NOT all hold\n")


def test_a_file_that_is_gone_or_a_link_is_found(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (evidence / "b" / "c").unlink()
    (evidence / "a.json").rename(evidence.parent / "elsewhere")
    (evidence / "a.json").symlink_to(evidence.parent / "elsewhere")
    assert check(evidence) == 1
    told = capsys.readouterr().out
    assert "FAULT: b/c: the index lists it, and it is not here" in told
    assert "FAULT: a.json: a.json is a link" in told


def test_what_is_no_plain_file_is_not_read(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (evidence / "a.json").unlink()
    os.mkfifo(evidence / "a.json")
    (evidence / "audit" / "one").mkdir(parents=True)
    (evidence / "audit" / "one" / "checkpoint").symlink_to("/dev/zero")
    assert check(evidence) == 1
    assert "FAULT: a.json: a.json is a link, no plain file" in capsys.readouterr().out
    (evidence / folder.NOTE).unlink()
    (evidence / folder.NOTE).symlink_to("/dev/zero")
    assert check(evidence) == 1
    assert "FAULT: evidence.note is a link, no plain file" in capsys.readouterr().out


def test_names_cannot_forge_a_line(evidence: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (evidence / "x\n2 files: all hold").write_bytes(b"")
    (evidence / os.fsdecode(b"\xff\x1b[2J")).write_bytes(b"")
    assert check(evidence) == 1
    told = capsys.readouterr().out
    assert "\n2 files: all hold" not in told
    assert "FAULT: \\udcff\\x1b[2J: it is here" in told


def test_a_note_is_opened_by_any_key_of_its_name() -> None:
    mine, other = TestSigner(), TestSigner(seed=8)
    keys = [verify_evidence.parse_key(each.verifier_key) for each in (other, mine)]
    note = mine.sign("text\n")
    text = note.decode() if isinstance(note, bytes) else note
    assert verify_evidence.open_by_any(text, keys) == (keys[1], "text\n")


def test_an_index_that_was_not_signed_is_refused(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = json.loads((evidence / folder.INDEX).read_text())
    index["parts"][1]["state"] = "whole"
    (evidence / folder.INDEX).write_text(json.dumps(index))
    assert check(evidence) == 1
    assert "not the index that was signed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("signer", "told"),
    [
        (TestSigner(seed=8), "it has no signature by"),
        (TestSigner(name="other.example"), "it has no signature by"),
    ],
)
def test_another_key_is_refused(
    evidence: Path, capsys: pytest.CaptureFixture[str], signer: TestSigner, told: str
) -> None:
    assert check(evidence, key=signer.verifier_key) == 1
    assert told in capsys.readouterr().out


def test_a_file_of_a_key_that_is_not_there_is_no_fault_of_the_folder(
    evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(evidence, key=str(evidence.parent / "gone.pub")) == 2
    assert "No such file or directory: " in capsys.readouterr().err


@pytest.mark.parametrize("num_leaves", [0, 1, 2, 3, 7, 8, 255, 256, 257])
def test_roots_are_those_of_rfc_6962(num_leaves: int) -> None:
    leaves = [hashlib.sha256(bytes([n % 256])).digest() for n in range(num_leaves)]

    def naive(part: list[bytes]) -> bytes:
        if not part:
            return hashlib.sha256(b"").digest()
        if len(part) == 1:
            return part[0]
        half = 1 << ((len(part) - 1).bit_length() - 1)
        return hashlib.sha256(b"\x01" + naive(part[:half]) + naive(part[half:])).digest()

    assert verify_evidence.root_of(leaves) == naive(leaves)


def test_tile_paths_are_those_of_tlog_tiles() -> None:
    assert verify_evidence.tile_path(1234067) == "x001/x234/067"
    assert verify_evidence.tile_path(7) == "007"
