"""manifest.json as text, read strictly: a key that we do not know is refused, not passed over."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from models.errors import InvalidRefError, ManifestError
from models.quality import Quality, QualityFault
from models.refs import ModelRef, OtherScheme, QuantScheme, Scheme
from models.rules.strict_json import MAX_DEPTH, is_deeper
from models.trust.manifest_files import FileEntry

FORMAT = "intramural-manifest/1"
_KEYS = (
    "format",
    "digest",
    "source",
    "licence",
    "scheme",
    "tools",
    "created_at",
    "files",
    "checksum",
)
_OPTIONAL = ("quality",)
_SCHEMES: tuple[Scheme, ...] = (*QuantScheme, *OtherScheme)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\dZ", re.ASCII)


class FormatError(Exception):
    """The text is no manifest; the message completes 'is not a manifest: …'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The contents of the file besides its digest.

    Attributes:
        files: by path, in the order of their code points.
        source: repository and commit; None for a folder that someone made or placed.
        licence: as the catalog or the repository names it; None where that is not known.
        scheme: how the weights are stored.
        tools: name to version of the programs that made the files.
        created_at: UTC, ``YYYY-MM-DDTHH:MM:SSZ``.
        quality: what a quantisation cost; None where that was not measured. Then the file does not
            have the key, which those before it did not know.
    """

    files: tuple[FileEntry, ...]
    source: ModelRef | None
    licence: str | None
    scheme: Scheme
    tools: Mapping[str, str]
    created_at: str
    quality: Quality | None = None


AnyFields = TypeVar("AnyFields", bound=Fields)


def dump(parts: Fields, digest: str) -> str:
    """JSON with one file per line, so that two manifests compare well."""
    source = parts.source
    head = {
        "format": FORMAT,
        "digest": digest,
        "source": None if source is None else {"repo": source.repo, "commit": source.revision},
        "licence": parts.licence,
        "scheme": str(parts.scheme),
        "tools": dict(parts.tools),
        "created_at": parts.created_at,
        **({} if parts.quality is None else {"quality": parts.quality.to_json()}),
    }
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in parts.files]
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    body = ",".join(f"\n    {json.dumps(file)}" for file in files)
    checksum = json.dumps(_checksum(head | {"files": files}))
    tail = [f'  "files": [{body}\n  ],', f'  "checksum": {checksum}', "}", ""]
    return "\n".join(["{", *lines, *tail])


def _checksum(document: Mapping[str, Any]) -> str:
    """Over everything but itself: a damaged commit or licence must not pass for a true one.

    It proves nothing to who can write the file. Keys are sorted and nothing stands between them.
    """
    rest = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def parse(raw: bytes, make: type[AnyFields]) -> tuple[str, AnyFields]:
    """The digest that a manifest claims, and the rest of it as `make`.

    Raises:
        FormatError: it is none.
    """
    try:
        document = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FormatError("it is not JSON, or names a key twice") from None
    if is_deeper(document, MAX_DEPTH):
        raise FormatError(f"it is nested more than {MAX_DEPTH} levels deep")
    _expect_keys(document, _KEYS, "it", optional=_OPTIONAL)
    if document["format"] != FORMAT:
        raise FormatError(f"its format is {document['format']!r}; known is {FORMAT!r}")
    tools, licence = document["tools"], document["licence"]
    if not isinstance(tools, dict) or not all(isinstance(item, str) for item in tools.values()):
        raise FormatError("tools must map names to versions")
    if licence is not None and not isinstance(licence, str):
        raise FormatError(f"licence is {licence!r}, neither text nor null")
    if document["scheme"] not in _SCHEMES:
        raise FormatError(f"scheme {document['scheme']!r} is none of {', '.join(_SCHEMES)}")
    digest = _matching(document, "digest", _DIGEST)
    if document["checksum"] != _checksum(document):
        raise FormatError("it is damaged: its checksum is not that of the rest")
    return digest, make(
        files=_files(document["files"]),
        source=_source(document["source"]),
        licence=licence,
        scheme=_SCHEMES[_SCHEMES.index(document["scheme"])],
        tools=tools,
        created_at=_matching(document, "created_at", _TIME),
        quality=_quality(document),
    )


def _quality(document: Mapping[str, Any]) -> Quality | None:
    if "quality" not in document:
        return None
    try:
        return Quality.from_json(document["quality"])
    except QualityFault as fault:
        raise FormatError(f"its quality {fault}") from None


def _files(rows: Any) -> tuple[FileEntry, ...]:
    if not isinstance(rows, list) or not rows:
        raise FormatError("files must be a list that is not empty")
    entries: list[FileEntry] = []
    for row in rows:
        _expect_keys(row, ("path", "size", "sha256"), "a file")
        if not isinstance(row["path"], str):
            raise FormatError(f"a file's path is {row['path']!r}, no text")
        try:
            entry = FileEntry(path=row["path"], size=row["size"], sha256=row["sha256"])
        except ManifestError as error:
            raise FormatError(str(error)) from None
        if entries and entry.path <= entries[-1].path:
            raise FormatError(f"{entry.path!r} stands twice, or out of order")
        entries.append(entry)
    return tuple(entries)


def _source(value: Any) -> ModelRef | None:
    if value is None:
        return None
    _expect_keys(value, ("repo", "commit"), "source")
    if not isinstance(value["repo"], str) or not isinstance(value["commit"], str):
        raise FormatError("source must name repo and commit as text")
    try:
        source = ModelRef(repo=value["repo"], revision=value["commit"])
    except InvalidRefError as error:
        raise FormatError(str(error)) from None
    if not source.is_pinned:
        raise FormatError(f"the source's commit is {source.revision!r}, not 40 hex digits")
    return source


def _matching(document: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = document[key]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise FormatError(f"{key} is {value!r}")
    return value


def _expect_keys(
    value: Any, keys: Sequence[str], who: str, *, optional: Sequence[str] = ()
) -> None:
    if not isinstance(value, dict):
        raise FormatError(f"{who} is not a JSON object")
    for key in value:
        if key not in keys and key not in optional:
            raise FormatError(f"{who} has an unknown key {key!r}")
    for key in keys:
        if key not in value:
            raise FormatError(f"{who} lacks {key!r}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError(name)
