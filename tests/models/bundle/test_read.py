from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import staging
from models.bundle import index as bundle_index
from models.bundle import media as bundle_media
from models.bundle.import_journal import JOURNAL
from models.bundle.index import Part, part_name
from models.errors import (
    BundleError,
    DiskFullError,
    HashMismatchError,
    ModelNotFoundError,
    ModelRefusedError,
    PartsMissingError,
    SignatureError,
)
from models.lockfile import LockFile, Pin
from models.store import DirectoryStore
from models.trust import keys
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from models.trust.manifest_files import FileEntry
from models.trust.verify import verify
from tests.hub.pulls import Watch
from tests.models.bundle.bundles import NAME, SPLIT, contents, flip, model, read, write

INDEX = f"{NAME}.bundle.json"
SEAL = f"{NAME}.bundle.sig"


@pytest.fixture
def source(tmp_path):
    return model(tmp_path / "source")


@pytest.fixture
def out(source, tmp_path):
    write(source, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def part(number: int) -> str:
    return f"{NAME}.part{number:03}"


def staged_folder(data):
    return data / "models" / staging.STAGING / NAME


def move(names, here, there):
    there.mkdir(exist_ok=True)
    for name in names:
        (here / name).rename(there / name)


def test_what_was_bundled_is_imported_pinned_and_whole(source, out, data):
    (source / SIGNATURE).write_bytes(b"any")
    write(source, out.with_name("signed"))
    watch = Watch()
    imported = read(data, out.with_name("signed"), watch=watch)
    assert imported.outcome == "imported"
    assert contents(imported.path) == contents(source)
    assert verify(imported.path).is_ok
    digest = Manifest.read(source).digest
    pin = Pin(digest=digest, repo="acme/tiny", revision=None, commit="c" * 40)
    assert LockFile(data).get(NAME) == pin
    assert DirectoryStore(data).find(NAME).path == imported.path
    assert not staged_folder(data).exists()
    phases = list(dict.fromkeys(seen.phase for seen in watch.seen))
    assert phases == ["read", "check", "commit"]
    # Every file was hashed on its way, so that none was read again.
    assert [seen.total_bytes for seen in watch.seen if seen.phase == "check"] == [0]


def test_a_second_import_finds_it_here(out, data):
    read(data, out)
    (out / part(1)).unlink()
    assert read(data, out).outcome == "present"


def test_a_damaged_model_is_replaced_by_the_bundles(source, out, data):
    path = read(data, out).path
    flip(path / "model.safetensors", 30_000)
    watch = Watch()
    assert read(data, out, watch=watch).outcome == "imported"
    assert contents(path) == contents(source)
    assert any("is damaged" in notice for notice in watch.notices)


def test_media_may_be_swapped_and_come_in_any_order(source, out, data, tmp_path):
    second = tmp_path / "second"
    move([part(1), part(3)], out, second)
    with pytest.raises(PartsMissingError, match=rf"not found: {part(1)}, {part(3)}"):
        read(data, out)
    assert not (data / "models" / NAME).exists()
    watch = Watch()
    imported = read(data, second, watch=watch)  # which has no index
    assert imported.outcome == "imported"
    assert contents(imported.path) == contents(source)
    assert any("going on with" in notice for notice in watch.notices)


def test_several_media_at_once(source, out, data, tmp_path):
    second = tmp_path / "second"
    move([part(2)], out, second)
    shutil.copy(out / INDEX, second)
    assert contents(read(data, second, out).path) == contents(source)


def test_a_part_stands_for_its_folder_and_an_index_for_itself(source, out, data):
    write(source, out, name="other")
    with pytest.raises(BundleError, match=r"more than one bundle.*Name the index"):
        read(data, out)
    assert read(data, out / INDEX).name == NAME
    assert read(data, out / "other.bundle.json", name="third").name == "third"


@settings(max_examples=25)
@given(order=st.permutations(range(1, 6)), cut=st.integers(0, 5))
def test_any_order_of_media_gives_the_same_model(tmp_path_factory, order, cut):
    base = tmp_path_factory.mktemp("any")
    bundled = write(model(base / "source"), base / "out")
    names = [p.name for p in bundled.index.parts]
    assert len(names) == 5
    for medium, chosen in enumerate((order[:cut], order[cut:])):
        move([part(number) for number in chosen], base / "out", base / f"medium{medium}")
    media = [base / "medium0", base / "medium1"]
    for medium in media[: 2 if cut < 5 else 1]:
        try:
            imported = read(base / "data", base / "out", medium)
        except PartsMissingError:
            continue
    assert contents(imported.path) == contents(base / "source")


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_damaged_part_is_named_and_the_others_are_kept(source, out, data, number):
    good = (out / part(number)).read_bytes()
    flip(out / part(number), 100)
    found = hashlib.sha256((out / part(number)).read_bytes()).hexdigest()
    with pytest.raises(PartsMissingError) as refused:
        read(data, out)
    message = str(refused.value)
    assert f"{out / part(number)} is damaged: its SHA-256 is {found}" in message
    assert hashlib.sha256(good).hexdigest() in message
    assert not (data / "models" / NAME).exists()
    done = json.loads((staged_folder(data) / "parts" / JOURNAL).read_bytes())["done"]
    assert done == [n for n in range(5) if n != number - 1]
    (out / part(number)).write_bytes(good)
    assert contents(read(data, out).path) == contents(source)


def test_a_part_of_another_size_is_named(out, data):
    (out / part(2)).write_bytes(b"short")
    with pytest.raises(PartsMissingError, match=rf"{part(2)} is damaged: it has 5 bytes, not"):
        read(data, out)


def test_another_copy_is_taken_where_one_is_damaged(source, out, data, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    flip(copy / part(2))
    flip(copy / part(3))
    watch = Watch()
    assert contents(read(data, copy, out, watch=watch).path) == contents(source)
    assert len([notice for notice in watch.notices if "is damaged" in notice]) == 2
    last = [seen for seen in watch.seen if seen.phase == "read"][-1]
    assert last.done_bytes == last.total_bytes


def test_every_flipped_bit_of_an_index_is_found(out, data, tmp_path):
    """Not by forgery, which only --trust finds; by damage."""
    good = (out / INDEX).read_bytes()
    digests = set()
    for at in range(0, len(good), 37):
        (out / INDEX).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        home = tmp_path / f"data{at}"
        try:
            imported = read(home, out)
        except (BundleError, HashMismatchError):
            assert not (home / "models" / NAME).exists()
        else:  # the name or the pin, which say nothing of the bytes
            digests.add(imported.index.digest)
            assert verify(imported.path).is_ok
    assert len(digests) <= 1


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A bundle with a signature, and the key that made it."""
    base = tmp_path_factory.mktemp("signed")
    public, _ = keys.generate(base / "k.pem")
    write(model(base / "source"), base / "out", private_key=base / "k.pem")
    return base / "out", public


@settings(max_examples=100)
@given(choice=st.integers(0, 6), at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_a_signed_bundle_is_refused(
    tmp_path_factory, signed, choice, at, bit
):
    out, public = signed
    base = tmp_path_factory.mktemp("flip")
    files = sorted(path.name for path in out.iterdir())
    assert len(files) == 7
    raw = bytearray((out / files[choice]).read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    shutil.copytree(out, base / "out")
    (base / "out" / files[choice]).write_bytes(raw)
    with pytest.raises((SignatureError, PartsMissingError)) as refused:
        read(base / "data", base / "out", trust=public)
    assert files[choice].removesuffix(".sig") in str(refused.value)
    assert not (base / "data" / "models" / NAME).exists()
    shutil.rmtree(base)


def test_a_signature_is_checked_before_anything_is_believed(source, out, data, tmp_path):
    public, key_id = keys.generate(tmp_path / "k.pem")
    other, _ = keys.generate(tmp_path / "other.pem")
    with pytest.raises(SignatureError, match="is not signed"):
        read(data, out, trust=public)
    write(source, out, private_key=tmp_path / "k.pem")
    with pytest.raises(SignatureError, match="does not hold"):
        read(data, out, trust=other)
    good = (out / INDEX).read_bytes()
    (out / INDEX).write_bytes(b"{" + good)  # broken: but that is not what is found first
    with pytest.raises(SignatureError, match="does not hold"):
        read(data, out, trust=public)
    assert not data.exists()
    (out / INDEX).write_bytes(good)
    imported = read(data, out, trust=public)
    assert imported.seal
    assert (imported.seal.key_id, imported.seal.key_file) == (key_id, public)


def test_the_next_medium_needs_no_signature_again_and_no_other_index_is_believed(
    source, out, data, tmp_path
):
    public, _ = keys.generate(tmp_path / "k.pem")
    write(source, out, private_key=tmp_path / "k.pem")
    second = tmp_path / "second"
    move([part(1)], out, second)
    with pytest.raises(PartsMissingError):
        read(data, out, trust=public)
    assert read(data, second, trust=public).seal
    # Begun without asking who signed, it does not end with trust in nobody.
    (out / SEAL).unlink()
    with pytest.raises(PartsMissingError):
        read(tmp_path / "data2", out)
    with pytest.raises(SignatureError, match="is not signed"):
        read(tmp_path / "data2", second, trust=public)


def test_another_bundle_does_not_go_on_with_this_ones_parts(source, out, data, tmp_path):
    (out / part(1)).unlink()
    with pytest.raises(PartsMissingError):
        read(data, out)
    other = model(tmp_path / "other", hidden_size=8)
    write(other, tmp_path / "out2")
    assert contents(read(data, tmp_path / "out2").path) == contents(other)


@pytest.mark.parametrize("damage", ["flip", "remove", "link", "journal"])
def test_staged_bytes_are_not_believed(source, out, data, tmp_path, damage):
    aside = tmp_path / "aside"
    move([part(5)], out, aside)
    with pytest.raises(PartsMissingError):
        read(data, out)
    file = staged_folder(data) / "tree" / "model.safetensors"
    if damage == "flip":
        flip(file, 2_000)
    elif damage == "link":
        file.unlink()
        file.symlink_to(source / "model.safetensors")
    elif damage == "remove":
        file.unlink()
    else:
        (staged_folder(data) / "parts" / JOURNAL).write_text("{")
    if damage == "flip":
        with pytest.raises(HashMismatchError, match=r"model\.safetensors was read and is not"):
            read(data, out, aside)
    assert contents(read(data, out, aside).path) == contents(source)


def test_another_model_of_that_name_is_replaced_only_when_asked(source, out, data, tmp_path):
    mine = model(data / "models" / NAME, hidden_size=8)
    before = contents(mine)
    with pytest.raises(BundleError, match=r"another model is at.*--update"):
        read(data, out)
    LockFile(data).put(NAME, Pin(digest=Manifest.read(mine).digest))
    with pytest.raises(HashMismatchError, match=r"in models\.lock"):
        read(data, out)
    assert contents(mine) == before
    assert read(data, out, name="beside").name == "beside"
    assert contents(read(data, out, update=True).path) == contents(source)
    assert LockFile(data).get(NAME).digest == Manifest.read(source).digest


def test_a_model_that_may_not_be_is_thrown_away(source, out, data, tmp_path):
    bad = model(tmp_path / "bad")
    good = write(bad, tmp_path / "bad-out")
    config = bad / "config.json"
    config.write_text(json.dumps({"model_type": "qwen2", "auto_map": {"A": "b.C"}}))
    (bad / MANIFEST).unlink()
    Manifest.build(bad).write(bad)
    forge(good, bad, tmp_path / "bad-out")
    with pytest.raises(ModelRefusedError, match="auto_map"):
        read(data, tmp_path / "bad-out")
    assert not staged_folder(data).exists()
    assert not (data / "models" / NAME).exists()


def test_a_manifest_that_is_not_the_indexs_is_found(source, data, tmp_path):
    bundled = write(source, tmp_path / "out")
    other = model(tmp_path / "other", num_bytes=30_000)
    shutil.copy(other / MANIFEST, source)
    forge(bundled, source, tmp_path / "out")
    with pytest.raises(BundleError, match="contradicts itself"):
        read(data, tmp_path / "out")
    assert not (data / "models" / NAME).exists()


def forge(bundled, folder, out):
    """A bundle of what lies in the folder, made by who does not verify."""
    stream = contents(folder)
    files = bundle_index.in_order(
        FileEntry(path=path, size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
        for path, raw in stream.items()
    )
    whole = b"".join(stream[file.path] for file in files)
    parts = []
    for number, begin in enumerate(range(0, len(whole), SPLIT), 1):
        raw = whole[begin : begin + SPLIT]
        name = part_name(NAME, number)
        (out / name).write_bytes(raw)
        parts.append(Part(name=name, size=len(raw), sha256=hashlib.sha256(raw).hexdigest()))
    digest = bundle_index.digest_of(files)
    pin = replace(bundled.index.pin, digest=digest)
    forged = replace(bundled.index, files=files, parts=tuple(parts), digest=digest, pin=pin)
    (out / INDEX).write_bytes(forged.to_json())


def test_names_that_lead_elsewhere_or_are_built_in_are_refused(out, data):
    with pytest.raises(ModelNotFoundError, match="not a name in the store"):
        read(data, out, name="../x")
    with pytest.raises(BundleError, match="--name"):
        read(data, out, name="demo")


def test_media_that_are_not_there_or_have_no_index(out, data, tmp_path):
    with pytest.raises(BundleError, match="Is the medium mounted"):
        read(data, tmp_path / "nowhere")
    (out / INDEX).unlink()
    with pytest.raises(BundleError, match="Begin with the medium that has the index"):
        read(data, out)


def test_a_disk_without_room_is_told_first(out, data, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match=r"1 kB free.*are needed"):
        read(data, out)


def test_a_medium_that_fails_while_it_is_read_is_not_this_machines_disk(
    source, out, data, monkeypatch
):
    real, tries = bundle_media._read_part, itertools.count()

    def failing(path, num_bytes):
        if next(tries) == 1:
            yield b"some"
            raise OSError(5, "Input/output error")
        yield from real(path, num_bytes)

    monkeypatch.setattr(bundle_media, "_read_part", failing)
    with pytest.raises(PartsMissingError, match=r"part002 cannot be read after 4 bytes: Input"):
        read(data, out)
    assert contents(read(data, out).path) == contents(source)
