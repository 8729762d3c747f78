"""Key files: private to their owner, never overwritten, and refused with a reason."""

from __future__ import annotations

import stat

import pytest

from serve.errors import StartupError
from serve.governance.audit.tlog.key_files import read_signer, read_verifiers, write_signer
from serve.governance.audit.tlog.keys import NoteSigner

SIGNER = NoteSigner.generate("example.com/audit")


def test_a_pair_is_written_and_read(tmp_path):
    public = write_signer(tmp_path / "audit.key", SIGNER)
    assert public == tmp_path / "audit.key.pub"
    assert stat.S_IMODE((tmp_path / "audit.key").stat().st_mode) == 0o600
    assert read_signer(tmp_path / "audit.key").verifier == SIGNER.verifier
    assert read_verifiers(public) == [SIGNER.verifier]


@pytest.mark.parametrize("there", ["audit.key", "audit.key.pub"])
def test_no_key_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(FileExistsError):
        write_signer(tmp_path / "audit.key", SIGNER)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_private_key_that_others_can_read_is_refused(tmp_path):
    write_signer(tmp_path / "audit.key", SIGNER)
    (tmp_path / "audit.key").chmod(0o644)
    with pytest.raises(StartupError, match="mode 0644"):
        read_signer(tmp_path / "audit.key")


def test_what_is_no_key_is_refused_with_its_line(tmp_path):
    path = tmp_path / "keys"
    with pytest.raises(StartupError, match="is not there"):
        read_signer(path)
    path.write_text(f"# the auditor's\n\n{SIGNER.verifier.text}\nnonsense\n")
    path.chmod(0o600)
    with pytest.raises(StartupError, match="line 4: it is not a verifier key"):
        read_verifiers(path)
    with pytest.raises(StartupError, match="it does not begin with PRIVATE"):
        read_signer(path)
    path.write_text("# nothing\n")
    with pytest.raises(StartupError, match="holds no verifier key"):
        read_verifiers(path)
