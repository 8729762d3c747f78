from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from types import SimpleNamespace

import pytest

from models.bundle import index as bundle_index
from models.bundle import write as bundle_write
from models.errors import (
    BundleError,
    DiskFullError,
    ManifestMissingError,
    ModelRefusedError,
    NotIntactError,
    SignatureError,
    StoreBusyError,
)
from models.lockfile import Pin
from models.trust import keys
from models.trust.manifest import MANIFEST, Manifest
from tests.hub.pulls import Watch
from tests.models.bundle.bundles import NAME, SPLIT, contents, flip, model, write

INDEX = f"{NAME}.bundle.json"
SEAL = f"{NAME}.bundle.sig"


@pytest.fixture
def source(tmp_path):
    return model(tmp_path / "source")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_the_parts_are_the_files_one_after_the_other(source, out):
    bundled = write(source, out)
    parts = [(out / part.name).read_bytes() for part in bundled.index.parts]
    assert [len(part) for part in parts[:-1]] == [SPLIT] * (len(parts) - 1)
    assert 0 < len(parts[-1]) <= SPLIT
    assert len(parts) >= 4
    stream = b"".join(parts)
    assert stream == b"".join((source / file.path).read_bytes() for file in bundled.index.files)
    assert [hashlib.sha256(part).hexdigest() for part in parts] == [
        part.sha256 for part in bundled.index.parts
    ]
    assert bundled.index.digest == Manifest.read(source).digest
    assert bundled.index.pin.commit == "c" * 40
    assert bundle_index.parse((out / INDEX).read_bytes(), where="x") == bundled.index


def test_the_same_model_makes_the_same_bytes(source, out, tmp_path):
    write(source, out)
    write(source, tmp_path / "other")
    assert contents(out) == contents(tmp_path / "other")


def test_a_run_goes_on_with_parts_that_are_there_and_right(source, out):
    whole = write(source, out)
    assert whole.num_kept == 0
    before = contents(out)
    untouched = (out / f"{NAME}.part001").stat().st_ino
    (out / INDEX).unlink()
    flip(out / f"{NAME}.part002")
    (out / f"{NAME}.part003").unlink()
    (out / f".{NAME}.part003.new").write_bytes(b"half")
    watch = Watch()
    again = write(source, out, watch)
    assert again.num_kept == len(again.index.parts) - 2
    assert contents(out) == before
    assert (out / f"{NAME}.part001").stat().st_ino == untouched
    assert any(f"{NAME}.part002 is there and holds other bytes" in n for n in watch.notices)
    last = watch.seen[-1]
    assert last.phase == "commit"
    (written,) = (seen for seen in watch.seen[-2:] if seen.phase == "write")
    assert written.done_bytes == written.total_bytes == again.index.size


def test_a_signature_is_over_the_index(source, out, tmp_path):
    public, key_id = keys.generate(tmp_path / "k.pem", password=b"pw")
    private = {"private_key": tmp_path / "k.pem", "password": b"pw"}
    assert write(source, out, **private).key_id == key_id
    raw = (out / INDEX).read_bytes()
    assert keys.signer_of(raw, (out / SEAL).read_bytes(), public) == (key_id, public)
    # An older signature does not stay beside an index that nobody signed.
    assert write(source, out).key_id is None
    assert not (out / SEAL).exists()


def test_a_key_that_cannot_be_used_is_told_before_the_work(source, out, tmp_path):
    keys.generate(tmp_path / "k.pem", password=b"pw")
    with pytest.raises(SignatureError, match="cannot be used"):
        write(source, out, private_key=tmp_path / "k.pem", password=b"wrong")
    assert not out.exists()


def test_a_damaged_model_makes_no_bundle(source, out):
    flip(source / "model.safetensors", 30_000)
    with pytest.raises(NotIntactError, match=r"model\.safetensors"):
        write(source, out)
    assert contents(out) == {}


def test_a_file_that_changes_after_it_was_verified_makes_no_index(source, out, monkeypatch):
    verify = bundle_write.verify

    def then_change(*arguments, **options):
        report = verify(*arguments, **options)
        flip(source / "model.safetensors", 30_000)
        return report

    monkeypatch.setattr(bundle_write, "verify", then_change)
    with pytest.raises(NotIntactError, match=r"model\.safetensors changed since"):
        write(source, out)
    assert not (out / INDEX).exists()


def test_a_model_without_a_manifest_or_with_code_makes_no_bundle(source, out):
    (source / "x.py").touch()
    with pytest.raises(ModelRefusedError, match=r"x\.py"):
        write(source, out)
    (source / "x.py").unlink()
    (source / MANIFEST).unlink()
    with pytest.raises(ManifestMissingError, match="python -m models sign"):
        write(source, out)


def test_another_model_than_is_pinned_makes_no_bundle(source, out):
    with pytest.raises(NotIntactError, match="pinned"):
        write(source, out, pin=Pin(digest="sha256:" + "0" * 64))


def test_the_folder_of_another_bundle_is_left_alone(source, out, tmp_path):
    write(source, out)
    before = contents(out)
    with pytest.raises(BundleError, match="another bundle of 'our-tune'"):
        write(source, out, split=SPLIT + 1)
    with pytest.raises(BundleError, match="another bundle of 'our-tune'"):
        write(model(tmp_path / "other", num_bytes=20_000), out)
    assert contents(out) == before


def test_too_many_parts_are_refused(source, out):
    with pytest.raises(BundleError, match="Give a larger one"):
        write(source, out, split=1)


def test_a_disk_without_room_is_told_before_a_byte_is_written(source, out, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match=r"1 kB free.*are needed"):
        write(source, out)
    assert contents(out) == {}


def test_two_at_a_time_are_one_too_many(source, out):
    out.mkdir()
    held = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreBusyError, match="another process is writing"):
            write(source, out)
    finally:
        os.close(held)
    assert write(source, out).num_kept == 0


def test_a_disk_that_fails_is_told(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="file"):
        write(source, tmp_path / "file")


def test_an_index_that_is_no_file_is_named_and_not_waited_for(source, out):
    out.mkdir()
    os.mkfifo(out / INDEX)
    with pytest.raises(BundleError, match=r"bundle\.json: is not a plain file but a pipe"):
        write(source, out)
