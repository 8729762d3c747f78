"""`verify`, `sign` and `keygen`: are a model's bytes those that were meant, and who says so."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import catalog, policy, progress
from models.cli.options import Commands, command
from models.cli.passwords import read_password
from models.errors import (
    ManifestError,
    ManifestMissingError,
    ModelRefusedError,
    NotIntactError,
    SignatureError,
    UnstableFileError,
)
from models.other_formats import require_readable
from models.progress import Progress, size
from models.store import locate
from models.trust import pinned
from models.trust.manifest import SIGNATURE, Manifest
from models.trust.manifest_files import plain_files
from models.trust.proof import Proof, prove
from models.trust.verified_cache import Stamps
from models.trust.verify import Mode, Report, verify

NOT_OK = (NotIntactError, SignatureError, ModelRefusedError, ManifestError, UnstableFileError)

VERIFY_EPILOG = """\
Compares the model with its manifest.json, with its pin in DIR/models.lock if it has one, and with
the rules for what a model may hold. Names every file that was changed, added, removed or renamed.

modes:
  full   hashes every file
  quick  hashes files whose size, times or inode differ from when they were last hashed and agreed.
         It cannot see bytes that changed beneath the file system: a failing disk or cable, a write
         to the device, a clock that was set back, or a forged stamp in DIR/stamps.

A manifest says that nothing changed, not who made it. For that, have models signed, and give the
signer's public key with --key, or a directory of them with --trust.

examples:
  python -m models verify qwen2-7b
  python -m models verify ./my-model --trust /etc/intramural/trusted-keys
  python -m models verify qwen2-7b --mode quick --json

exit codes: 0 all is as it should be; 1 it is not, or not signed as was asked, or pinned and without
its manifest; 2 there is no such model, or it has no manifest and nothing says that it had one
"""
SIGN_EPILOG = """\
Writes model.sig into the model's folder, in the format of OpenSSF model-signing, over every file
and manifest.json (which is made first, if the model has none). All files are hashed: nothing is
signed that is not what the manifest says. No network is used.

examples:
  python -m models keygen signer.pem
  python -m models sign qwen2-7b --key signer.pem
  python -m models verify qwen2-7b --key signer.pub
  model_signing verify key DIR --signature DIR/model.sig --public_key signer.pub   (any verifier)

exit codes: 0 signed; 1 not signed: the model is not in order; 2 no such model
"""
KEYGEN_EPILOG = """\
Makes FILE, a private key on the curve P-256 for its owner's eyes only, and FILE.pub (or NAME.pub
for NAME.pem), which verifiers get. Keys of OpenSSL are as good:

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signer.pem
  openssl pkey -in signer.pem -pubout -out signer.pub

exit codes: 0 made; 2 a file of that name is there, or cannot be written
"""


def add_commands(commands: Commands) -> None:
    """Add `verify`, `sign` and `keygen`."""
    text = "are a model's files the ones that were meant"
    check = command(commands, "verify", text=text, run=_verify, epilog=VERIFY_EPILOG)
    check.add_argument("name", metavar="NAME|PATH", help="alias, repository or folder")
    modes = [str(mode) for mode in (Mode.FULL, Mode.QUICK)]
    check.add_argument("--mode", choices=modes, default="full", help="default: full")
    signed = check.add_mutually_exclusive_group()
    signed.add_argument(
        "--key", type=Path, metavar="FILE", help="must be signed by this public key"
    )
    signed.add_argument(
        "--trust", type=Path, metavar="DIR", help="a key in this directory must have (*.pem, *.pub)"
    )

    text = "sign a model with a private key"
    sign = command(commands, "sign", text=text, run=_sign, epilog=SIGN_EPILOG)
    sign.add_argument("name", metavar="NAME|PATH", help="alias, repository or folder")
    sign.add_argument("--key", type=Path, metavar="FILE", required=True, help="private key, PEM")

    text = "make a key pair to sign with"
    keygen = command(commands, "keygen", text=text, run=_keygen, epilog=KEYGEN_EPILOG)
    keygen.add_argument("file", type=Path, metavar="FILE", help="where the private key goes")
    for parser in (sign, keygen):
        parser.add_argument(
            "--password-file", type=Path, metavar="FILE", help="holds the private key's password"
        )


def _verify(options: argparse.Namespace) -> int:
    name, path = locate(options.name, options.data_dir)
    require_readable(path)
    facts: dict[str, Any] = {"ok": False, "name": name, "path": str(path), "mode": options.mode}
    try:
        proof = _proof(options, path)
        report, signer = proof.report, proof.signer
        facts |= _facts(proof)
        report.require_ok()
        policy.check(path)
    except NOT_OK as error:
        if isinstance(error, ManifestMissingError) and not (options.key or options.trust):
            raise
        if options.json:
            print(json.dumps(facts | {"problem": str(error)}, indent=2))
        else:
            print(f"not in order: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(facts | {"ok": True}, indent=2))
        return 0
    print(
        f"{name} is whole: {len(report.manifest.files)} files, {size(report.manifest.size_bytes)}, "
        f"{report.num_hashed} of them hashed now.\n{report.manifest.digest}"
    )
    if signer is not None:
        print(f"signed by {signer.key_file.name} ({signer.key_id})")
    return 0


def _proof(options: argparse.Namespace, path: Path) -> Proof:
    expect = pinned.expected(path, options.data_dir)
    trust = options.key or options.trust
    if trust is None:
        pinned.manifest_of(path, expect)
    with _meter(options) as meter:
        return prove(
            path,
            Mode(options.mode),
            trust=trust,
            expect=expect,
            stamps=Stamps(options.data_dir),
            meter=meter,
        )


def _facts(proof: Proof) -> dict[str, Any]:
    report, signer = proof.report, proof.signer
    key = {"key_id": signer.key_id, "file": str(signer.key_file)} if signer is not None else None
    return {
        "digest": report.manifest.digest,
        "num_files": len(report.manifest.files),
        "size_bytes": report.manifest.size_bytes,
        "num_hashed": report.num_hashed,
        "hashed_bytes": report.hashed_bytes,
        "signer": key,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _sign(options: argparse.Namespace) -> int:
    from models.trust.keys import private_key_id
    from models.trust.signing import sign

    password = read_password(options.password_file, SignatureError)
    private_key_id(options.key, password)  # before the long work, not after it
    name, path = locate(options.name, options.data_dir)
    try:
        policy.check(path)
        report = _proven(options, name, path)
        key_id = sign(report, options.key, password=password)
    except (NotIntactError, ModelRefusedError, UnstableFileError) as error:
        print(f"not signed: {error}", file=sys.stderr)
        return 1
    if options.json:
        facts = {"name": name, "path": str(path / SIGNATURE), "digest": report.manifest.digest}
        print(json.dumps(facts | {"key_id": key_id}, indent=2))
    else:
        print(f"signed {path / SIGNATURE}\n{report.manifest.digest}\nkey id {key_id}")
    return 0


def _proven(options: argparse.Namespace, name: str, path: Path) -> Report:
    """The folder's bytes, held against pin and manifest; the manifest is made where it is gone."""
    expect = pinned.expected(path, options.data_dir)
    with _meter(options) as meter:
        try:
            return verify(path, expect=expect, stamps=Stamps(options.data_dir), meter=meter)
        except ManifestMissingError:
            entry = catalog.load().find(name)
            if meter is not None:
                meter.phase("hash", sum(num_bytes for _, num_bytes in plain_files(path)))
            manifest = Manifest.build(
                path,
                licence=entry.licence if entry is not None else None,
                progress=meter.advance if meter is not None else None,
            )
    pinned.hold(path, manifest.digest, expect)
    manifest.write(path)
    hashes = {file.path: file.sha256 for file in manifest.files}
    return Report(folder=path, mode=Mode.FULL, manifest=manifest, hashes=hashes)


def _keygen(options: argparse.Namespace) -> int:
    from models.trust import keys

    password = read_password(options.password_file, SignatureError)
    public, key_id = keys.generate(options.file, password=password)
    if options.json:
        facts = {"private": str(options.file), "public": str(public), "key_id": key_id}
        print(json.dumps(facts, indent=2))
    else:
        print(f"private key {options.file}: keep it off the servers\npublic key  {public}")
        print(f"key id      {key_id}")
    return 0


@contextmanager
def _meter(options: argparse.Namespace) -> Iterator[Progress | None]:
    """Progress on stderr; none with --json, whose stdout holds one document."""
    if options.json:
        yield None
        return
    with progress.shown() as meter:
        yield meter
