"""`python -m serve evidence`, as an operator runs it, and its folder, as an auditor checks it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serve.cli.evidence import run_evidence
from serve.errors import StartupError
from serve.governance.audit.tlog.key_files import write_signer
from serve.governance.audit.tlog.keys import NoteSigner
from tests.programs import needs


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_signer(tmp_path / "key", NoteSigner.generate("corp.example/evidence"))
    return tmp_path / "key"


def test_a_folder_is_written_and_checked_by_its_own_verifier(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--out", str(out), "--key", str(key), "--engine", "fake", "--json"]
    code = run_evidence([*words, "--state-dir", str(tmp_path)])
    told = json.loads(capsys.readouterr().out)
    states = {part["name"]: part["state"] for part in told["parts"]}
    assert states["models"] == states["audit"] == states["egress"] == "missing"
    assert states["settings"] == states["controls"] == "whole"
    assert code == int("partly" in states.values())
    done = subprocess.run(
        [sys.executable, "-I", str(out / "verify_evidence.py"), str(out), "--key", f"{key}.pub"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # A server that runs has its address, and nothing is wrong for that.
    checks = {finding["check"] for finding in json.loads((out / "doctor.json").read_bytes())}
    assert "address" not in checks


def test_without_a_key_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="audit key generate"):
        run_evidence(["--out", str(tmp_path / "out"), "--state-dir", str(tmp_path)])
    assert not (tmp_path / "out").exists()


@needs("strace")
def test_a_trace_by_strace_is_read(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = (
        "import socket\n"
        "s = socket.socket(); s.connect_ex(('127.0.0.1', 9))\n"
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "u.connect_ex(('192.0.2.1', 53))\n"
    )
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    subprocess.run(
        ["strace", "-f", "-e", calls, "-o", str(trace), sys.executable, "-c", program], check=True
    )
    from serve.evidence.egress_trace import egress

    part = egress(trace)
    found = json.loads(part.files["egress.json"])
    assert found["loopback"] == {"127.0.0.1:9": 1}
    assert found["beyond_loopback"] == {"192.0.2.1:53": 1}
