from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from models.errors import (
    ManifestError,
    ManifestMissingError,
    NotIntactError,
    UnknownSchemeError,
    UnstableFileError,
)
from models.progress import JsonLines, Progress
from models.trust import hashing, verified_cache
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from models.trust.verified_cache import Stamps
from models.trust.verify import FULL_UP_TO_BYTES, Mode, default_mode, verify
from tests.models.folders import listed, whole


@pytest.fixture
def folder(tmp_path):
    return listed(tmp_path / "m")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Stamps that trust files which were written a moment ago, as tests must."""
    monkeypatch.setattr(verified_cache, "SETTLED_NS", -(10**12))
    return Stamps(tmp_path / "data")


def refused(folder, mode=Mode.FULL, **more) -> str:
    report = verify(folder, mode, **more)
    assert not report.is_ok
    with pytest.raises(NotIntactError) as caught:
        report.require_ok()
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_whole_folder_passes(folder):
    (folder / SIGNATURE).write_text("{}")
    report = verify(folder)
    report.require_ok()
    assert report.is_ok
    assert report.num_hashed == 4
    assert report.hashed_bytes == report.manifest.size_bytes
    assert report.hashes == {file.path: file.sha256 for file in report.manifest.files}


def test_a_hundred_bit_flips_are_each_refused_and_named(folder):
    """One bit at a random place of a random file, a hundred times; seeded."""
    rng = random.Random(20261121)
    paths = [file.path for file in Manifest.read(folder).files]
    for _ in range(100):
        path = rng.choice(paths)
        before = (folder / path).read_bytes()
        flipped = bytearray(before)
        bit = rng.randrange(len(before) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / path).write_bytes(flipped)
        assert f"'{path}' was changed: its SHA-256 is" in refused(folder)
        (folder / path).write_bytes(before)
    assert verify(folder).is_ok


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.QUICK])
@pytest.mark.parametrize("path", ["config.json", "model.safetensors", "sub/template.jinja"])
def test_what_is_added_removed_renamed_or_resized_is_named(folder, kept, mode, path):
    assert verify(folder, stamps=kept).is_ok
    keep = folder.parent / "keep"
    shutil.copytree(folder, keep)

    def afresh():
        shutil.rmtree(folder)
        shutil.copytree(keep, folder)

    (folder / path).unlink()
    assert f"'{path}' was removed" in refused(folder, mode, stamps=kept)
    afresh()
    (folder / path).rename(folder / "other.json")
    assert f"'{path}' was renamed: it is now 'other.json'" in refused(folder, mode, stamps=kept)
    afresh()
    (folder / "more.json").write_bytes((folder / path).read_bytes())
    assert "'more.json' was added" in refused(folder, mode, stamps=kept)
    afresh()
    with (folder / path).open("ab") as file:
        file.write(b" ")
    assert f"'{path}' was changed: it has" in refused(folder, mode, stamps=kept)
    afresh()
    (folder / path).rename(folder.parent / "elsewhere")
    (folder / path).symlink_to(folder.parent / "elsewhere")
    assert f"'{path}' was changed: it is a link" in refused(folder, mode, stamps=kept)


def test_a_file_of_another_s_size_and_other_bytes_is_no_renaming(folder):
    size = (folder / "tokenizer.json").stat().st_size
    (folder / "tokenizer.json").unlink()
    (folder / "new.txt").write_bytes(b"x" * size)
    message = refused(folder)
    assert "'tokenizer.json' was removed" in message
    assert "'new.txt' was added" in message


def test_two_files_that_changed_places_are_both_named(folder):
    config = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (folder / "tokenizer.json").write_bytes(config)
    message = refused(folder)
    assert "'config.json' was changed" in message
    assert "'tokenizer.json' was changed" in message


def test_strange_things_are_named_and_not_opened(folder):
    os.mkfifo(folder / "pipe.json")
    (folder / "link.txt").symlink_to("/etc/hostname")
    message = refused(folder)
    assert "'pipe.json' was added" in message
    assert "'link.txt' was added" in message


def test_a_broken_manifest_is_an_error(folder):
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(ManifestError):
        verify(folder, Mode.OFF)
    (folder / MANIFEST).unlink()
    with pytest.raises(ManifestMissingError):
        verify(folder)


def test_off_compares_nothing(folder):
    (folder / "config.json").write_text("{}")
    report = verify(folder, Mode.OFF)
    assert report.is_ok
    assert report.num_hashed == 0


def test_a_digest_that_was_pinned_elsewhere_must_be_met(folder):
    """Who can write the files can write a manifest that agrees with them."""
    pinned = Manifest.read(folder).digest
    assert verify(folder, expect=pinned).is_ok
    (folder / "tokenizer.json").write_text("[]")
    Manifest.build(folder).write(folder)
    assert verify(folder).is_ok
    for mode in Mode:
        with pytest.raises(NotIntactError, match="another than was pinned"):
            verify(folder, mode, expect=pinned)


def test_quick_hashes_nothing_that_was_hashed_before(folder, kept):
    assert verify(folder, Mode.QUICK, stamps=kept).num_hashed == 4  # there is no stamp yet
    assert verify(folder, Mode.QUICK, stamps=kept).num_hashed == 0
    assert verify(folder, Mode.FULL, stamps=kept).num_hashed == 4


def test_quick_hashes_a_file_that_was_written_again(folder, kept):
    assert verify(folder, stamps=kept).is_ok
    same = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(same)
    report = verify(folder, Mode.QUICK, stamps=kept)
    assert report.is_ok
    assert report.num_hashed == 1
    assert verify(folder, Mode.QUICK, stamps=kept).num_hashed == 0


def test_quick_finds_a_change_whose_time_was_set_back(folder, kept):
    """`touch` can set the modification time; nothing can set the change time."""
    assert verify(folder, stamps=kept).is_ok
    path = folder / "config.json"
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "'config.json' was changed: its SHA-256" in refused(folder, Mode.QUICK, stamps=kept)


def test_quick_cannot_see_what_the_file_system_does_not_record(folder, kept, monkeypatch):
    """A disk that returns other bytes, played by a stamp of the record as it is afterwards."""
    assert verify(folder, stamps=kept).is_ok
    path = folder / "config.json"
    path.write_bytes(bytes(path.stat().st_size))
    stamp = kept.read(folder)
    assert stamp is not None
    stamp.files["config.json"] = verified_cache.marks_of(path.stat())
    kept.write(stamp)
    assert verify(folder, Mode.QUICK, stamps=kept).is_ok
    assert "'config.json' was changed" in refused(folder, Mode.FULL, stamps=kept)
    assert kept.read(folder) is None  # and quick looks again from now on
    assert "'config.json' was changed" in refused(folder, Mode.QUICK, stamps=kept)


def test_a_stamp_is_of_one_manifest(folder, kept):
    assert verify(folder, stamps=kept).is_ok
    (folder / "tokenizer.json").write_text("[]")
    Manifest.build(folder).write(folder)
    assert verify(folder, Mode.QUICK, stamps=kept).num_hashed == 4


def test_a_file_written_in_the_moment_it_was_hashed_gets_no_stamp(folder, tmp_path):
    kept = Stamps(tmp_path / "data")
    assert verify(folder, stamps=kept).is_ok
    stamp = kept.read(folder)
    assert stamp is not None
    assert stamp.files == {}
    assert verify(folder, Mode.QUICK, stamps=kept).num_hashed == 4


def test_quick_without_stamps_is_full(folder):
    assert verify(folder, Mode.QUICK).num_hashed == 4


def test_stamps_that_cannot_be_written_cost_nothing_else(folder, tmp_path):
    (tmp_path / "data").write_text("no folder")
    assert verify(folder, stamps=Stamps(tmp_path / "data")).is_ok


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    """A bad block: EIO, which no test can make a real disk return."""
    readv = hashing.os.readv

    def bad_block(descriptor, buffers):
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "model.safetensors":
            raise OSError(5, "Input/output error")
        return readv(descriptor, buffers)

    monkeypatch.setattr(hashing.os, "readv", bad_block)
    with pytest.raises(NotIntactError, match=r"model\.safetensors cannot be read.*Input/output"):
        verify(folder)


def test_a_file_that_is_written_meanwhile_is_an_error(folder):
    class Writer:
        def phase(self, name, total_bytes=0):
            self.done = False

        def advance(self, num_bytes):
            if not self.done:
                self.done = True
                for file in Manifest.read(folder).files:
                    with (folder / file.path).open("ab") as out:
                        out.write(b" ")

    with pytest.raises(UnstableFileError, match="was written to"):
        verify(folder, meter=Writer())


def test_progress_counts_every_byte(folder, capsys):
    verify(folder, meter=Progress(JsonLines(sys.stdout)))
    lines = capsys.readouterr().out.splitlines()
    size = Manifest.read(folder).size_bytes
    assert f'"phase": "verify", "done_bytes": 0, "total_bytes": {size}' in lines[0]
    assert f'"done_bytes": {size}' in lines[-1]


def test_large_models_are_verified_quickly_unless_told_otherwise():
    assert default_mode(FULL_UP_TO_BYTES) is Mode.FULL
    assert default_mode(FULL_UP_TO_BYTES + 1) is Mode.QUICK


def test_an_unknown_scheme_has_no_manifest(tmp_path):
    with pytest.raises(UnknownSchemeError):
        Manifest.build(whole(tmp_path / "m", quantization_config={"quant_method": "new"}))
