"""NAME.bundle.json: what a bundle holds, to the byte. Read strictly: a medium comes from outside.

::

    {"format": "intramural-bundle/1", "model": "qwen2-7b", "digest": "sha256:…",
     "pin": {"repo": "Qwen/Qwen2-7B-Instruct", "revision": "main", "commit": "f2826a0…"},
     "size": 15242693248, "split": 4000000000,
     "files": [{"path": "manifest.json", "size": 1167, "sha256": "…", "offset": 0}, …],
     "parts": [{"name": "qwen2-7b.part001", "size": 4000000000, "sha256": "…"}, …]}

It holds no time and no path of the machine that wrote it: the same model makes the same index. The
files stand in the order of the stream (``in_order``), manifest.json and the signature among them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from models import policy
from models.errors import BundleError, InvalidRefError, ManifestError
from models.lockfile import Pin
from models.refs import ModelRef
from models.rules import names, strict_json
from models.rules.content import OWN_NAMES
from models.rules.strict_json import JsonFault
from models.trust.manifest import MANIFEST, SIGNATURE
from models.trust.manifest_files import FileEntry, is_sha256

FORMAT = "intramural-bundle/1"
INDEX_SUFFIX, SEAL_SUFFIX = ".bundle.json", ".bundle.sig"
MAX_BYTES = 8 << 20
MAX_PARTS = 9999
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file on a medium.

    Attributes:
        name: of the file.
        size: bytes.
        sha256: 64 lower-case hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The contents of a bundle.

    Attributes:
        model: its name.
        digest: of its manifest.
        pin: as models.lock has it, or as its manifest says.
        split: bytes of every part but the last.
        files: in the order of the stream, with manifest.json.
        parts: in the order of the stream.
    """

    model: str
    digest: str
    pin: Pin
    split: int
    files: tuple[FileEntry, ...]
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, which are those of all parts."""
        return sum(file.size for file in self.files)

    def begin_of(self, part: Part) -> int:
        """The offset of a part in the stream, in bytes."""
        return self.parts.index(part) * self.split

    def to_json(self) -> bytes:
        """The file's text: one file and one part per line, and a line feed at the end."""
        head = {
            "format": FORMAT,
            "model": self.model,
            "digest": self.digest,
            "pin": {
                "repo": self.pin.repo,
                "revision": self.pin.revision,
                "commit": self.pin.commit,
            },
            "size": self.size,
            "split": self.split,
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        files = [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "offset": offset}
            for offset, file in with_offsets(self.files)
        ]
        parts = [
            {"name": part.name, "size": part.size, "sha256": part.sha256} for part in self.parts
        ]
        tail = [f'  "files": {_rows(files)},', f'  "parts": {_rows(parts)}', "}", ""]
        return "\n".join(["{", *lines, *tail]).encode()


def index_name(model: str) -> str:
    """The name of a model's index."""
    return model + INDEX_SUFFIX


def seal_name(model: str) -> str:
    """The name of the index's signature."""
    return model + SEAL_SUFFIX


def part_name(model: str, number: int) -> str:
    """The name of a part; they count from 1."""
    return f"{model}.part{number:03}"


def num_parts(size: int, split: int) -> int:
    """The number of parts of a stream; 0 for an empty one."""
    return math.ceil(size / split)


def in_order(files: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """The order of the stream: what is small and says what the rest is comes first."""

    def rank(file: FileEntry) -> tuple[bool, bool, str]:
        return (file.path not in OWN_NAMES, file.path.endswith(".safetensors"), file.path)

    return tuple(sorted(files, key=rank))


def with_offsets(files: Iterable[FileEntry]) -> Iterable[tuple[int, FileEntry]]:
    """Each file, and where in the stream it begins."""
    offset = 0
    for file in files:
        yield offset, file
        offset += file.size


def parse(raw: bytes, *, where: str) -> Index:
    """An index from its JSON.

    Args:
        raw: the JSON.
        where: what messages call it.

    Raises:
        BundleError: it is none, contradicts itself, or names what no model may hold.
    """
    try:
        document = strict_json.parse(raw)
        _expect(document, ("format", "model", "digest", "pin", "size", "split", "files", "parts"))
        if document["format"] != FORMAT:
            raise JsonFault(f"has the format {document['format']!r}; known is {FORMAT!r}")
        index = Index(
            model=_text(document, "model", _NAME),
            digest=_text(document, "digest", _DIGEST),
            pin=_pin(document),
            split=_count(document, "split"),
            files=tuple(_files(document["files"])),
            parts=tuple(_parts(document["parts"])),
        )
        if index.size != _count(document, "size"):
            raise JsonFault("has another size than its files together")
        _check_files(index)
        _check_parts(index)
    except (JsonFault, ManifestError) as fault:
        raise BundleError(f"{where} is not the index of a bundle: it {fault}.") from None
    return index


def digest_of(files: Sequence[FileEntry]) -> str:
    """The digest that a manifest of these files has."""
    listed = sorted((f for f in files if f.path not in OWN_NAMES), key=lambda f: f.path)
    lines = "".join(f"{file.sha256}  {file.size}  {file.path}\n" for file in listed)
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    return "[" + ",".join(f"\n    {json.dumps(row)}" for row in rows) + "\n  ]"


def _expect(value: Any, keys: Sequence[str]) -> None:
    if not isinstance(value, dict) or set(value) != set(keys):
        actual = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise JsonFault(f"must have the keys {', '.join(keys)}, and has {actual}")


def _text(document: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = document[key]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise JsonFault(f"has the {key} {value!r}")
    return value


def _count(document: Mapping[str, Any], key: str) -> int:
    value = document[key]
    if type(value) is not int or not 0 < value < 1 << 60:
        raise JsonFault(f"has the {key} {value!r}, no count of bytes")
    return value


def _pin(document: Mapping[str, Any]) -> Pin:
    facts = document["pin"]
    _expect(facts, ("repo", "revision", "commit"))
    repo, revision, commit = facts["repo"], facts["revision"], facts["commit"]
    if (repo is None) != (commit is None):
        raise JsonFault("pins a repository without a commit, or the other way round")
    try:
        for part in (commit, revision):
            if part is not None:
                ModelRef(repo=repo or "a/b", revision=part)
    except (InvalidRefError, TypeError) as error:
        raise JsonFault(f"pins no repository and commit ({error})") from None
    return Pin(digest=document["digest"], repo=repo, revision=revision, commit=commit)


def _files(rows: Any) -> Iterable[FileEntry]:
    if not isinstance(rows, list) or len(rows) > policy.MAX_FILES + len(OWN_NAMES):
        raise JsonFault(f"lists no files, or more than {policy.MAX_FILES:,}")
    end = 0
    for row in rows:
        _expect(row, ("path", "size", "sha256", "offset"))
        if not isinstance(row["path"], str):
            raise JsonFault("lists a file whose path is no text")
        if type(row["offset"]) is not int or row["offset"] != end:
            raise JsonFault(f"has {row['path']!r} at {row['offset']!r}, not at {end:,}")
        file = FileEntry(path=row["path"], size=row["size"], sha256=row["sha256"])
        end += file.size
        yield file


def _parts(rows: Any) -> Iterable[Part]:
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_PARTS:
        raise JsonFault(f"lists no parts, or more than {MAX_PARTS:,}")
    for row in rows:
        _expect(row, ("name", "size", "sha256"))
        sha256 = row["sha256"]
        if not isinstance(sha256, str) or not is_sha256(sha256):
            raise JsonFault(f"has a part {row['name']!r} without a SHA-256")
        yield Part(name=row["name"], size=_count(row, "size"), sha256=sha256)


def _check_files(index: Index) -> None:
    paths = [file.path for file in index.files]
    for path in paths:
        fault = names.fault(path)
        if fault is None and path not in (MANIFEST, SIGNATURE):
            fault = _refused(PurePosixPath(path))
        if fault:
            raise JsonFault(f"lists the file {path!r}, which {fault}")
    if MANIFEST not in paths:
        raise JsonFault(f"lists no {MANIFEST}")
    clash = names.clash([*paths, *_folders(paths)])
    if clash or len(set(paths)) < len(paths) or set(paths) & set(_folders(paths)):
        raise JsonFault("lists two files of one name, or a file that is a folder as well")
    if index.files != in_order(index.files):
        raise JsonFault("lists its files out of order")
    if digest_of(index.files) != index.digest:
        raise JsonFault("contradicts itself: its files do not make its digest")


def _check_parts(index: Index) -> None:
    if len(index.parts) != num_parts(index.size, index.split):
        raise JsonFault(f"has {len(index.parts)} parts for {index.size:,} bytes")
    for number, part in enumerate(index.parts, 1):
        expected = min(index.split, index.size - index.split * (number - 1))
        if part.name != part_name(index.model, number) or part.size != expected:
            raise JsonFault(f"has {part.name!r} of {part.size!r} bytes as its part {number}")


def _folders(paths: Iterable[str]) -> set[str]:
    return {str(above) for path in paths for above in PurePosixPath(path).parents} - {"."}


def _refused(path: PurePosixPath) -> str | None:
    """Whether models/policy.py would refuse the name; the content is looked at when it is here."""
    suffix = path.suffix.lower()
    if suffix in policy.SUFFIX_RULES:
        return f"no model may hold: {policy.SUFFIX_RULES[suffix][1]}"
    is_known = suffix in policy.ALLOWED or path.name.lower() in policy.ALLOWED_NAMES
    is_deep = len(path.parts) > policy.MAX_DEPTH
    if not is_known or is_deep or any(part.startswith(".") for part in path.parts):
        return "is of no kind that a model may hold"
    return None
