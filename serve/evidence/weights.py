"""The served model: its manifest with every file's digest, and whether the files are those."""

from __future__ import annotations

from typing import Any, Final

from models import plain_file
from models.errors import ModelError
from models.refs import Artifact
from models.store import load_folder, resolve
from models.target import quantised_name
from models.trust.manifest import MANIFEST, SIGNATURE
from serve.config import Config
from serve.engine.protocol import Progress
from serve.errors import StartupError
from serve.evidence.part import Part, Several, json_bytes, missing
from serve.provenance import proof

NAME: Final = "models"
MAX_MANIFEST_BYTES: Final = 32 << 20


def weights(config: Config, progress: Progress) -> Part:
    """The part of the model that these settings serve, and of its adapters.

    Every file is hashed, whatever ``--verify`` says.
    """
    if config.engine == "fake":
        return missing(NAME, "The fake engine has no weights.")
    try:
        artifacts = [("model", _served(config))]
        artifacts += [
            (name, load_folder(path, name=name)) for name, path in config.adapters.items()
        ]
    except ModelError as error:
        return missing(NAME, f"Not on this machine: {error}")
    found = Several(NAME)
    for name, artifact in artifacts:
        own, line, is_fine = _one(artifact, config, progress)
        found.add(f"models/{name}", own, f"{artifact.name}: {line}", is_whole=is_fine)
    return found.part()


def _served(config: Config) -> Artifact:
    """The quantised folder where one is asked for and made, else the full model.

    Raises:
        ModelError: neither is here.
    """
    full = resolve(config.target.base, config.data_dir)
    if config.quant_choice is None:
        return full
    try:
        return resolve(quantised_name(full.name, config.quant_choice), config.data_dir)
    except ModelError:
        return full  # a folder that is quantised itself, or a start that has yet to make one


def _one(
    artifact: Artifact, config: Config, progress: Progress
) -> tuple[dict[str, bytes], str, bool]:
    """Files, a line on them, and whether all is well."""
    files: dict[str, bytes] = {}
    for name in (MANIFEST, SIGNATURE):
        path = artifact.path / name
        if path.is_file():
            files[name] = plain_file.read(path, MAX_MANIFEST_BYTES)
    check: dict[str, Any] = {"folder": str(artifact.path), "scheme": str(artifact.scheme)}
    try:
        claim = proof.claim(
            artifact, config.data_dir, how="full", trusted_keys=config.signature_keys
        )
        proven = proof.prove(claim, config.data_dir, progress)
    except StartupError as error:
        files["check.json"] = json_bytes(check | {"fault": str(error)})
        return files, str(error), False
    has_manifest = claim.manifest is not None
    check |= {
        "digest": proven.digest,
        "pinned": claim.pinned,
        "signed_by": proven.signer,
        "has_manifest": has_manifest,
    }
    files["check.json"] = json_bytes(check)
    if not has_manifest:
        return files, f"{proven.digest}; no manifest says which bytes were meant.", False
    signed = f"signed by {proven.signer}" if proven.signer else "no signature was asked for"
    pinned = "pinned" if claim.pinned else "not pinned"
    return files, f"{proven.digest}, every file hashed and equal; {pinned}; {signed}.", True
