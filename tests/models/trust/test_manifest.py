from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ManifestError, ManifestMissingError
from models.refs import ModelRef, QuantScheme
from models.trust import manifest_json
from models.trust.manifest import MANIFEST, SIGNATURE, FileEntry, Manifest
from models.trust.manifest_files import path_fault
from tests.models.folders import whole
from tests.models.test_quality import QUALITY

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32


@pytest.fixture
def folder(tmp_path):
    path = whole(tmp_path / "m")
    (path / "sub").mkdir()
    (path / "sub" / "chat_template.jinja").write_text("{{ x }}")
    return path


def facts(folder) -> dict:
    return json.loads((folder / MANIFEST).read_bytes())


def test_lists_every_file_with_its_size_and_hash(folder):
    manifest = Manifest.build(folder)
    assert [file.path for file in manifest.files] == [
        "config.json",
        "model.safetensors",
        "sub/chat_template.jinja",
        "tokenizer.json",
    ]
    for file in manifest.files:
        content = (folder / file.path).read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest.size_bytes == sum(file.size for file in manifest.files)
    assert manifest.scheme is QuantScheme.NONE


def test_what_is_written_is_what_is_read(folder):
    source = ModelRef(repo="Qwen/Qwen2-7B-Instruct", revision=COMMIT)
    built = Manifest.build(folder, source=source, licence="apache-2.0", tools={"hub": "1.0"})
    built.write(folder)
    assert Manifest.read(folder) == built
    assert facts(folder)["source"] == {"repo": "Qwen/Qwen2-7B-Instruct", "commit": COMMIT}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["config.json", "manifest.json", "model.safetensors", "sub", "tokenizer.json"]
    )


def test_the_digest_is_the_files_and_nothing_else(folder):
    before = Manifest.build(folder)
    before.write(folder)
    (folder / SIGNATURE).write_text("{}")
    source = ModelRef(repo="a/b", revision=COMMIT)
    after = Manifest.build(folder, source=source, licence="mit", tools={"x": "1"})
    assert after.digest == before.digest
    (folder / "tokenizer.json").write_text("{ }")
    assert Manifest.build(folder).digest != before.digest


def test_quality_is_kept_and_no_part_of_the_digest(folder):
    plain = Manifest.build(folder)
    measured = dataclasses.replace(plain, quality=QUALITY)
    measured.write(folder)
    assert Manifest.read(folder) == measured
    assert measured.digest == plain.digest
    assert "quality" not in json.loads(plain.to_json())


def test_quality_is_under_the_checksum(folder):
    dataclasses.replace(Manifest.build(folder), quality=QUALITY).write(folder)
    changed = facts(folder)
    changed["quality"]["kl_mean"] = 0.0001
    with pytest.raises(ManifestError, match="checksum"):
        Manifest.parse(json.dumps(changed).encode())


def test_the_digest_is_that_of_plain_lines(tmp_path):
    """`sha256sum` and `stat` can make it again."""
    folder = whole(tmp_path / "flat")
    lines = [
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  "
        f"{(folder / path).stat().st_size}  {path}\n"
        for path in sorted(["config.json", "model.safetensors", "tokenizer.json"])
    ]
    made = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert Manifest.build(folder).digest == f"sha256:{made}"


def test_known_hashes_are_taken_and_not_made_again(folder):
    seen = []
    manifest = Manifest.build(folder, known={"model.safetensors": SHA}, progress=seen.append)
    assert {file.path: file.sha256 for file in manifest.files}["model.safetensors"] == SHA
    size = (folder / "model.safetensors").stat().st_size
    assert sum(seen) == manifest.size_bytes - size


def test_the_bookkeeping_of_download_tools_is_no_part_of_it(folder):
    before = Manifest.build(folder).digest
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "x.metadata").touch()
    assert Manifest.build(folder).digest == before


def test_the_scheme_is_the_folder_s(tmp_path):
    quant = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0.0}
    assert Manifest.build(whole(tmp_path / "q", quantization_config=quant)).scheme == "bnb-int8"


def test_a_branch_is_no_source(folder):
    with pytest.raises(ManifestError, match="a/b@main is no commit"):
        Manifest.build(folder, source=ModelRef(repo="a/b"))


@pytest.mark.parametrize("name", ["a\nb.txt", "a\\b.txt", os.fsdecode(b"\xff.txt")])
def test_a_name_that_no_manifest_can_hold_is_refused(folder, name):
    (folder / name).touch()
    with pytest.raises(ManifestError, match="cannot have a manifest"):
        Manifest.build(folder)


def test_a_link_is_refused(folder):
    (folder / "x.txt").symlink_to("config.json")
    with pytest.raises(ManifestError, match=r"'x\.txt' is a link"):
        Manifest.build(folder)


def test_no_manifest(folder):
    with pytest.raises(ManifestMissingError, match="nothing to check its files against"):
        Manifest.read(folder)


def test_a_manifest_that_is_a_link_is_refused(folder):
    Manifest.build(folder).write(folder)
    (folder / MANIFEST).rename(folder / "other")
    (folder / MANIFEST).symlink_to("other")
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest.read(folder)


def test_a_manifest_that_is_too_large_is_refused(folder):
    (folder / MANIFEST).write_bytes(b" " * ((4 << 20) + 1))
    with pytest.raises(ManifestError, match="at most 4,194,304 are read"):
        Manifest.read(folder)


def test_an_old_half_written_manifest_is_replaced(folder):
    built = Manifest.build(folder)
    (folder / ".manifest.json.new").write_text("half")
    built.write(folder)
    assert not (folder / ".manifest.json.new").exists()


def with_first_file(**changes):
    return lambda d: d | {"files": [d["files"][0] | changes, *d["files"][1:]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"more": 1}, "unknown key 'more'"),
        (lambda d: d | {"quality": {"kl_mean": 0.1}}, "quality is not of the keys"),
        (lambda d: {k: v for k, v in d.items() if k != "tools"}, "lacks 'tools'"),
        (lambda d: d | {"format": "intramural-manifest/2"}, "format is"),
        (lambda d: d | {"digest": "sha256:" + "0" * 64}, "contradicts itself"),
        (lambda d: d | {"digest": "0" * 64}, "digest is"),
        (lambda d: d | {"scheme": "int3"}, "scheme 'int3' is none of"),
        (lambda d: d | {"scheme": ["none"]}, "is none of"),
        (lambda d: d | {"licence": 3}, "licence is 3"),
        (lambda d: d | {"tools": ["x"]}, "tools must map"),
        (lambda d: d | {"tools": {"x": 1}}, "tools must map"),
        (lambda d: d | {"created_at": "yesterday"}, "created_at is"),
        (lambda d: d | {"source": "a/b"}, "source is not a JSON object"),
        (lambda d: d | {"source": {"repo": "a/b", "commit": "main"}}, "40 hex digits"),
        (lambda d: d | {"source": {"repo": "../b", "commit": COMMIT}}, "not a model repository"),
        (lambda d: d | {"source": {"repo": 1, "commit": COMMIT}}, "as text"),
        (lambda d: d | {"files": []}, "not empty"),
        (lambda d: d | {"files": {}}, "not empty"),
        (lambda d: d | {"files": d["files"][::-1]}, "twice, or out of order"),
        (lambda d: d | {"files": [d["files"][0], *d["files"]]}, "twice, or out of order"),
        (with_first_file(path="../config.json"), "not relative and plain"),
        (with_first_file(path="/etc/passwd"), "not relative and plain"),
        (with_first_file(path="a//b"), "not relative and plain"),
        (with_first_file(path="a\nb"), "control character"),
        (with_first_file(path="a\\b"), "backslash"),
        (with_first_file(path=7), "no text"),
        (with_first_file(size=-1), "no count of bytes"),
        (with_first_file(size=1.0), "no count of bytes"),
        (with_first_file(size=True), "no count of bytes"),
        (with_first_file(sha256="AB" * 32), "lower-case hex"),
        (with_first_file(sha256=None), "lower-case hex"),
        (with_first_file(mode=7), "unknown key 'mode'"),
        (lambda d: [d], "not a JSON object"),
    ],
)
def test_anything_unusual_is_refused(folder, change, message):
    Manifest.build(folder).write(folder)
    changed = change(facts(folder))
    if isinstance(changed, dict):
        changed["checksum"] = manifest_json._checksum(changed)
    (folder / MANIFEST).write_text(json.dumps(changed))
    with pytest.raises(ManifestError, match=message):
        Manifest.read(folder)


def test_every_flipped_bit_of_a_manifest_is_found(folder):
    source = ModelRef(repo="a/b", revision=COMMIT)
    manifest = Manifest.build(folder, source=source, licence="mit", tools={"hub": "1"})
    raw = manifest.to_json().encode()
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ManifestError):
            Manifest.parse(bytes(flipped))


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"[" * 100_000, b'{"format": 1, "format": 1}', b'{"format": NaN}']
)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(ManifestError, match=r"x is not a manifest: it is not JSON"):
        Manifest.parse(raw, where="x")


plain_paths = st.text(min_size=1, max_size=30).filter(lambda path: path_fault(path) is None)
entries = st.builds(
    FileEntry,
    path=plain_paths,
    size=st.integers(0, 1 << 50),
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
)


@given(st.lists(entries, min_size=1, unique_by=lambda file: file.path), st.text())
def test_any_manifest_survives_its_json(files, text):
    manifest = Manifest(
        files=tuple(sorted(files, key=lambda file: file.path)),
        source=None,
        licence=text,
        scheme=QuantScheme.INT8,
        tools={text: text},
        created_at="2026-11-21T05:30:00Z",
    )
    assert Manifest.parse(manifest.to_json().encode()) == manifest


@given(st.lists(entries, min_size=1, unique_by=lambda file: file.path), st.data())
def test_two_different_lists_of_files_never_share_a_digest(files, data):
    ordered = tuple(sorted(files, key=lambda file: file.path))
    base = Manifest(
        files=ordered,
        source=None,
        licence=None,
        scheme=QuantScheme.NONE,
        tools={},
        created_at="2026-11-21T05:30:00Z",
    )
    index = data.draw(st.integers(0, len(ordered) - 1))
    other = data.draw(entries.filter(lambda file: file != ordered[index]))
    changed = (*ordered[:index], other, *ordered[index + 1 :])
    assert dataclasses.replace(base, files=changed).digest != base.digest


def test_what_is_no_file_is_named_and_not_waited_for(folder, monkeypatch):
    monkeypatch.chdir(folder)
    os.mkfifo(MANIFEST)
    held = os.open(MANIFEST, os.O_RDWR)  # nothing to read, and somebody who may write yet
    with pytest.raises(ManifestError, match="is not a plain file but a pipe"):
        Manifest.read(folder)
    os.close(held)
    (folder / MANIFEST).unlink()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(MANIFEST)
    with pytest.raises(ManifestError, match="is not a plain file but a socket"):
        Manifest.read(folder)
