"""NAME.bundle.sig: a signature over the bytes of an index, checked before they are used.

Made by the keys that sign models (models/trust/keys.py). Not in the format of model-signing: that
signs folders of files, and its verifier would have to be installed first, while this one is checked
with `openssl dgst -sha256 -verify KEY.pub -signature NAME.bundle.sig NAME.bundle.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import SignatureError
from models.trust import keys

MAX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The signer of an index.

    Attributes:
        key_id: SHA-256 of the public key's PEM text, as 64 hexadecimal digits.
        key_file: the trusted key.
    """

    key_id: str
    key_file: Path


def check(raw: bytes, signature: bytes | None, trust: Path, *, where: str) -> Seal:
    """The signer of this signature.

    Args:
        raw: the index, as it was read.
        signature: over it; None where there is none.
        trust: a directory of public keys, or one of them.
        where: what messages call the index.

    Raises:
        SignatureError: unsigned, not by a trusted key, or over other bytes. Also: there is no
            trusted key, or one that cannot be read.
    """
    if signature is None:
        keys.trusted(trust)
        raise SignatureError(
            f"{where} is not signed, and --trust asks for a signature. Bundle it anew with --sign, "
            "or copy the .bundle.sig that lies beside it."
        )
    signer = keys.signer_of(raw, signature, trust)
    if signer is None:
        names = ", ".join(path.name for path in keys.trusted(trust).values())
        raise SignatureError(
            f"the signature of {where} does not hold: none of the keys in {trust} ({names}) made "
            "it over these bytes. Either another key signed, or the index was changed since."
        )
    return Seal(key_id=signer[0], key_file=signer[1])
