"""Keys of logs that are followed: what is new is known, and what is bad changes nothing."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from serve.cli.audit.logs import log_keys
from serve.errors import StartupError
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.witness.cosigning import RefusedError, Witness
from serve.governance.audit.witness.followed_keys import FollowedKeys
from serve.governance.audit.witness.request_body import Submission
from serve.governance.audit.witness.state import WitnessState
from serve.governance.followed_file import RELOAD_INTERVAL_S
from tests.serve.governance.audit.witness.trees import LOG_KEY, WITNESS_KEY, Tree, tree

OTHER = NoteSigner("example.org/other", b"o" * 32)
ROTATED = NoteSigner(LOG_KEY.name, b"r" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += RELOAD_INTERVAL_S  # each look is due
        return self.now


def put(path: Path, *signers: NoteSigner) -> Path:
    path.write_text("".join(f"{signer.verifier.text}\n" for signer in signers))
    return path


def followed(*paths: Path) -> FollowedKeys:
    return FollowedKeys(paths, lambda path: log_keys([path]), clock=Clock())


def test_keys_of_a_file_and_of_a_folder_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    put(folder / "llm-0.key.pub", LOG_KEY)
    (folder / "llm-0.key").write_text("not read")
    file = put(tmp_path / "one.pub", LOG_KEY)
    keys = followed(folder, file)
    assert keys.keys == (LOG_KEY.verifier,)
    put(folder / "llm-1.key.pub", OTHER)
    put(file, LOG_KEY, ROTATED)
    assert set(keys.keys) == {LOG_KEY.verifier, OTHER.verifier, ROTATED.verifier}
    (folder / "llm-1.key.pub").unlink()
    assert set(keys.keys) == {LOG_KEY.verifier, ROTATED.verifier}


@pytest.mark.parametrize("text", ["", "no key", WITNESS_KEY.verifier.text])
def test_a_bad_file_is_told_and_what_is_known_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    put(tmp_path / "llm-0.key.pub", LOG_KEY)
    keys = followed(tmp_path)
    (tmp_path / "llm-1.key.pub").write_text(text)
    with caplog.at_level(logging.ERROR):
        keys.reload()
    assert keys.keys == (LOG_KEY.verifier,)
    assert f"log keys {tmp_path} not reloaded" in caplog.text
    put(tmp_path / "llm-1.key.pub", OTHER)
    assert keys.keys == (LOG_KEY.verifier, OTHER.verifier)


def test_a_folder_that_is_away_is_told_and_what_is_known_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "llm-0.key.pub", LOG_KEY)
    keys = followed(tmp_path)

    def is_dir(path: Path) -> bool:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_dir", is_dir)
        assert keys.keys == (LOG_KEY.verifier,)
    assert f"log keys {tmp_path} not reloaded" in caplog.text
    put(tmp_path / "llm-1.key.pub", OTHER)
    assert set(keys.keys) == {LOG_KEY.verifier, OTHER.verifier}


def test_a_folder_without_keys_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="a folder without public keys"):
        followed(tmp_path)


def test_a_witness_learns_logs_and_keys_and_forgets_nothing_it_signed(tmp_path: Path) -> None:
    def submit(log: Tree, old: int) -> None:
        proof = log.proof(old) if old else ()
        witness.cosign(Submission(old_size=old, proof=proof, checkpoint=log.checkpoint()))

    with WitnessState(tmp_path / "state") as state:
        witness = Witness(WITNESS_KEY, [OTHER.verifier], state)
        with pytest.raises(RefusedError, match="not known here"):
            submit(tree(3), 0)
        assert witness.know([LOG_KEY.verifier])
        assert not witness.know([LOG_KEY.verifier])
        submit(tree(3), 0)
        renewed = Tree(tree(5).entries, signer=ROTATED)
        with pytest.raises(RefusedError, match="the checkpoint"):
            submit(renewed, 3)
        assert witness.know([LOG_KEY.verifier, ROTATED.verifier])
        submit(renewed, 3)
        witness.know([OTHER.verifier])
        witness.know([ROTATED.verifier])
        forged = Tree(tree(6, changed=1).entries, signer=ROTATED)
        with pytest.raises(RefusedError, match="5 entries that were cosigned"):
            submit(forged, 5)
