"""model.sig: which files a signature speaks of, and which key it says to be from. Proves nothing.

The format is OpenSSF model-signing's (github.com/sigstore/model-transparency): a Sigstore bundle
around a DSSE envelope around an in-toto statement. The part that we accept is the one that its key
mode writes: one signature by an elliptic curve key, over the SHA-256 of whole files. It is read
strictly and before the library sees it, whose parsers raise whatever comes when a part is missing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import plain_file
from models.errors import SignatureError
from models.rules import strict_json
from models.rules.strict_json import JsonFault
from models.trust.manifest import SIGNATURE
from models.trust.manifest_files import is_sha256, path_fault

MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The claim of a signature.

    Attributes:
        key_id: SHA-256 of the public key's PEM text, as 64 hexadecimal digits.
        files: path to SHA-256.
    """

    key_id: str
    files: Mapping[str, str]


def read(folder: Path) -> Statement:
    """The claim of the signature in a folder.

    Raises:
        SignatureError: there is none, or it is not of the kind described above.
    """
    path = folder / SIGNATURE
    try:
        raw = plain_file.read(path, MAX_BYTES)
    except FileNotFoundError:
        raise SignatureError(
            f"the model folder {folder} is not signed: it has no {SIGNATURE}. "
            "Sign it with `python -m models sign`."
        ) from None
    except OSError as error:
        raise SignatureError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return parse(raw)
    except JsonFault as fault:
        raise SignatureError(
            f"{path} is not a signature that is known here: it {fault}. Expected is what "
            "`python -m models sign` or `model_signing sign key` writes."
        ) from None


def parse(raw: bytes) -> Statement:
    """The claim in the bytes of a model.sig.

    Raises:
        JsonFault: it is not of the kind described above; completes "it …".
    """
    match strict_json.parse(raw):
        case {
            "verificationMaterial": {"publicKey": {"hint": str(key_id)}},
            "dsseEnvelope": {
                "payload": str(payload),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": str()}],
            },
        } if is_sha256(key_id):
            statement = strict_json.parse(_decoded(payload))
        case _:
            raise JsonFault("is not one signature by a key")
    match statement:
        case {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://model_signing/signature/v1.0",
            "subject": [{"name": str(), "digest": {"sha256": str()}}],
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": bool(),
                    **how,
                },
                "resources": list(resources),
            },
        } if _is_texts(how.get("ignore_paths", [])):
            return Statement(key_id=key_id, files=_files(resources))
    raise JsonFault("does not cover whole files by their SHA-256")


def _files(resources: list[Any]) -> dict[str, str]:
    files: dict[str, str] = {}
    for resource in resources:
        match resource:
            case {"name": str(name), "algorithm": "sha256", "digest": str(digest)} if (
                is_sha256(digest) and path_fault(name) is None and name not in files
            ):
                files[name] = digest
            case _:
                raise JsonFault(f"names a file in an unknown way, or twice: {str(resource)[:200]}")
    return files


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise JsonFault("holds a payload that is not Base64") from None
