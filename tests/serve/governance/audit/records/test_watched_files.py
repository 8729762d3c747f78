"""Watched files: their digests, and which of them changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from serve.governance.audit.records.watched_files import GONE, WatchedFiles, digest_of_folder


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_changes_are_told_once_with_a_digest(tmp_path: Path) -> None:
    keys, limits = tmp_path / "keys.json", tmp_path / "limits.toml"
    keys.write_text("a")
    files = WatchedFiles({"api_key_file": keys, "limits_file": limits})
    assert files.digests() == {"api_key_file": digest("a"), "limits_file": GONE}
    assert files.changed() == {}
    keys.write_text("bc")
    limits.write_text("x")
    assert files.changed() == {"api_key_file": digest("bc"), "limits_file": digest("x")}
    assert files.changed() == {}
    os.utime(keys, (1, 1))
    assert files.changed() == {}, "touched, and the same"
    limits.unlink()
    changed = files.changed()
    assert changed == {"limits_file": GONE}
    files.forget(changed)
    assert files.changed() == changed, "nobody could record it"


def test_the_digest_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    assert digest_of_folder(tmp_path / "none") == GONE
    (tmp_path / "b").write_text("x")
    (tmp_path / "a").write_text("y")
    lines = "".join(
        f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in (("a", b"y"), ("b", b"x"))
    )
    assert digest_of_folder(tmp_path) == digest(lines), "as sha256sum prints it"
    (tmp_path / "a").write_text("z")
    assert digest_of_folder(tmp_path) != digest(lines)
