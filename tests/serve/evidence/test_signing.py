"""The key of the evidence: the one that is named, or the log's, where it is clear which."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config import Config
from serve.errors import StartupError
from serve.evidence.signing import signer_of
from serve.governance.audit.tlog.key_files import write_signer
from serve.governance.audit.tlog.keys import COSIGNATURE, NoteSigner


def test_the_one_logs_key_signs_unless_another_is_named(tmp_path: Path) -> None:
    for name in ("llm-0", "cli", "other"):
        write_signer(tmp_path / f"{name}.key", NoteSigner.generate(f"example.org/{name}"))
    other = tmp_path / "other.key"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = other.rename(elsewhere / "other.key")
    folder = Config(audit_dir=tmp_path)
    assert signer_of(None, folder).verifier_key.startswith("example.org/llm-0+")
    assert signer_of(other, folder).verifier_key.startswith("example.org/other+")
    named = Config(audit_dir=tmp_path, audit_key_file=other)
    assert signer_of(None, named).verifier_key.startswith("example.org/other+")


def test_several_keys_are_named_and_none_is_guessed(tmp_path: Path) -> None:
    for name in ("llm-0", "llm-1"):
        write_signer(tmp_path / f"{name}.key", NoteSigner.generate(f"example.org/{name}"))
    with pytest.raises(StartupError, match=r"2 logs \(llm-0.key, llm-1.key\).*--audit-name"):
        signer_of(None, Config(audit_dir=tmp_path))
    chosen = signer_of(None, Config(audit_dir=tmp_path, audit_name="llm-1"))
    assert chosen.verifier_key.startswith("example.org/llm-1+")
    for config in (Config(), Config(audit_dir=tmp_path / "nothing")):
        with pytest.raises(StartupError, match="no key to sign with"):
            signer_of(None, config)


def test_a_witnesses_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"
    write_signer(path, NoteSigner.generate("witness.example.org", COSIGNATURE))
    with pytest.raises(StartupError, match="witness's key"):
        signer_of(path, Config())
