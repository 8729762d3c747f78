from __future__ import annotations

import hashlib
import json

import pytest

from models.bundle import index as bundle_index
from models.bundle.index import Index, Part, in_order, parse, part_name
from models.errors import BundleError
from models.lockfile import Pin
from models.trust.manifest_files import FileEntry

SIZES = {"manifest.json": 7, "config.json": 5, "a/notes.txt": 0, "model.safetensors": 30}
FILES = in_order(
    FileEntry(path=path, size=size, sha256=f"{number:064x}")
    for number, (path, size) in enumerate(SIZES.items())
)
DIGEST = bundle_index.digest_of(FILES)
SPLIT = 20
INDEX = Index(
    model="m",
    digest=DIGEST,
    pin=Pin(digest=DIGEST, repo="acme/tiny", revision="main", commit="c" * 40),
    split=SPLIT,
    files=FILES,
    parts=tuple(
        Part(name=part_name("m", number), size=size, sha256="f" * 64)
        for number, size in ((1, 20), (2, 20), (3, 2))
    ),
)


def test_what_is_written_is_read():
    assert parse(INDEX.to_json(), where="x") == INDEX
    assert INDEX.to_json() == INDEX.to_json()


def test_small_files_come_first_and_the_manifest_before_all():
    assert [file.path for file in FILES] == [
        "manifest.json",
        "a/notes.txt",
        "config.json",
        "model.safetensors",
    ]


def changed(**facts) -> bytes:
    return json.dumps(json.loads(INDEX.to_json()) | facts).encode()


def with_file(number: int = 1, **facts) -> bytes:
    """With one file changed, and all that follows from it made right again."""
    document = json.loads(INDEX.to_json())
    document["files"][number] |= facts
    end = 0
    for row in document["files"]:
        row["offset"] = end
        end += row["size"]
    document["digest"] = digest_of_rows(document["files"])
    return json.dumps(document).encode()


def digest_of_rows(rows) -> str:
    """As in a manifest, also where the paths are none that a FileEntry takes."""
    rest = sorted(row["path"] for row in rows if row["path"] != "manifest.json")
    by_path = {row["path"]: row for row in rows}
    lines = (f"{by_path[path]['sha256']}  {by_path[path]['size']}  {path}\n" for path in rest)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def with_part(**facts) -> bytes:
    document = json.loads(INDEX.to_json())
    document["parts"][0] |= facts
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "must have the keys"),
        (changed(format="intramural-bundle/2"), "format"),
        (changed(more=1), "must have the keys"),
        (changed(model="../m"), "the model '../m'"),
        (changed(digest="sha256:" + "0" * 64), "its files do not make its digest"),
        (changed(size=43), "another size"),
        (changed(size=True), "no count of bytes"),
        (changed(split=19), "as its part 1"),
        (changed(split=1), "3 parts for 42 bytes"),
        (changed(parts=[]), "lists no parts"),
        (changed(files="x"), "lists no files"),
        (changed(files=[]), "another size"),
        (changed(pin={"repo": "acme/tiny", "revision": None, "commit": None}), "without a commit"),
        (changed(pin={"repo": "../x", "revision": None, "commit": "c"}), "pins no repository"),
        (changed(pin={"repo": 1, "revision": None, "commit": 2}), "pins no repository"),
        (with_part(name="/etc/passwd"), "as its part 1"),
        (with_part(size=19), "as its part 1"),
        (with_part(sha256="0"), "without a SHA-256"),
        (with_file(path="../a.txt"), "not relative and plain"),
        (with_file(path="/a.txt"), "not relative and plain"),
        (with_file(path="a.py"), "no code of its own"),
        (with_file(path="a.bin"), "loading it can run code"),
        (with_file(path=".hidden.txt"), "of no kind"),
        (with_file(path="a/b/c/d.txt"), "of no kind"),
        (with_file(path="CONFIG.json"), "two files of one name"),
        (with_file(path="config.json/a.txt"), "a folder as well"),
        (with_file(path="zz.txt"), "out of order"),
        (with_file(0, path="a.json"), "lists no manifest.json"),
        (with_file(size=-1), "no count of bytes"),
    ],
)
def test_what_is_no_index_is_refused_with_the_reason(raw, why):
    with pytest.raises(BundleError, match="x is not the index of a bundle") as refused:
        parse(raw, where="x")
    assert why in str(refused.value)


def test_an_offset_that_does_not_follow_is_refused():
    document = json.loads(INDEX.to_json())
    document["files"][1]["offset"] = 0
    with pytest.raises(BundleError, match="not at 7"):
        parse(json.dumps(document).encode(), where="x")
