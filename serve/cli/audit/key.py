"""`audit key`: keys that sign logs and checkpoints, and the key that contents are kept under."""

from __future__ import annotations

import argparse
import json
import os
import secrets
from pathlib import Path
from typing import Any

from models import durable, private_file
from models.command_line import words_of
from serve.cli.audit.printing import remark
from serve.errors import StartupError
from serve.governance.audit.content.content_keys import KEY_BYTES, read_content_keys
from serve.governance.audit.tlog.key_files import read_signer, read_verifiers, write_signer
from serve.governance.audit.tlog.keys import COSIGNATURE, ED25519, NoteSigner, NoteVerifier

MAX_CONTENT_FILE_BYTES = 4096
EPILOG = """\
A private key is a file of mode 600, and its public half FILE.pub beside it, which is what an
auditor needs. A log is named after its key: example.org/audit/llm-0. A witness's key is of another
type and belongs to another party, on another machine.

  generate FILE --name NAME            a key that signs a log (--audit-key-file)
  generate FILE --name NAME --witness  a key that cosigns checkpoints
  generate FILE --content              a key that wraps subjects' keys (--audit-content-key-file)
  rotate FILE                          a new key of the same name; the old one is kept in FILE.old,
                                       and its public half in FILE.pub, for what it has signed
  rotate FILE --content                a new first line; the next start wraps with it
  show FILE                            what it is, without what is secret
"""


def add(commands: Any) -> None:
    """Add the commands' parsers."""
    command = commands.add_parser(
        "key",
        help="generate, show and rotate keys",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    below = command.add_subparsers(
        dest="key_command", required=True, metavar="generate|show|rotate"
    )
    make = below.add_parser("generate", help="make a key; no file is overwritten")
    make.add_argument("file", type=Path, metavar="FILE", help="of the key; is made")
    make.add_argument("--name", help="of the log or the witness, such as example.org/audit/llm-0")
    kind = make.add_mutually_exclusive_group()
    kind.add_argument("--witness", action="store_true", help="that cosigns")
    kind.add_argument("--content", action="store_true", help="that wraps subjects' keys")
    make.set_defaults(run=_generate)
    show = below.add_parser("show", help="what a key file is")
    show.add_argument("file", type=Path, metavar="FILE", help="a key, or a public one")
    show.set_defaults(run=_show)
    renew = below.add_parser("rotate", help="put a new key in the old one's place")
    renew.add_argument("file", type=Path, metavar="FILE", help="of the key")
    renew.add_argument("--content", action="store_true", help="it wraps subjects' keys")
    renew.set_defaults(run=_rotate)
    for each in (make, show, renew):
        each.add_argument("--json", action="store_true", help="print JSON")


def _generate(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    if arguments.content:
        if arguments.name:
            raise StartupError("A key for contents has no name: leave --name out.")
        return _generate_content(path, as_json=arguments.json)
    if not arguments.name:
        raise StartupError("Name the log or the witness: --name example.org/audit/llm-0.")
    try:
        signer = NoteSigner.generate(arguments.name, COSIGNATURE if arguments.witness else ED25519)
    except ValueError as error:
        raise StartupError(f"--name {error}") from None
    try:
        public = write_signer(path, signer)
    except OSError as error:
        raise StartupError(_not_made(path, error)) from None
    _tell(path, [signer.verifier], as_json=arguments.json)
    if not arguments.json:
        remark(f"The public half is in {public}: give whoever shall verify a copy, today.")
    return 0


def _not_made(path: Path, error: OSError) -> str:
    return f"{path} cannot be made: {error.strerror or error}. No file is overwritten."


def _generate_content(path: Path, *, as_json: bool) -> int:
    line = f"{secrets.token_hex(KEY_BYTES)}\n".encode()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(line)
            file.flush()
            durable.sync(descriptor)
        durable.sync_folder(path.parent)
    except OSError as error:
        raise StartupError(_not_made(path, error)) from None
    _tell_content(path, as_json=as_json)
    if not as_json:
        remark("Whoever has this file reads all contents; whoever loses it, none. Keep a copy.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    try:
        keys = read_verifiers(path)
    except StartupError:
        try:
            keys = [read_signer(path).verifier]
        except StartupError as not_signer:
            try:
                _tell_content(path, as_json=arguments.json)
            except StartupError:
                raise StartupError(
                    f"{path} is no key file that can be read here: {not_signer}"
                ) from None
            return 0
    _tell(path, keys, as_json=arguments.json)
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    try:
        if arguments.content:
            return _rotate_content(path, as_json=arguments.json)
        old = read_signer(path)
        public = path.with_name(f"{path.name}.pub")
        before = read_verifiers(public) if public.exists() else [old.verifier]
        new = NoteSigner.generate(old.name, old.verifier.kind)
        keys = list(dict.fromkeys([new.verifier, old.verifier, *before]))
        kept = path.with_name(f"{path.name}.old")
        if kept.exists():
            raise StartupError(
                f"{kept} is there, from the last rotation: put it away first. What it signed is "
                "verified by the public keys alone."
            )
        # The public keys first: a crash leaves a key too many there, and never one too few.
        text = "".join(f"{key.text}\n" for key in keys)
        durable.write_whole(public, text.encode(), mode=0o644)
        durable.write_whole(kept, f"{old.private_text}\n".encode(), mode=0o600)
        durable.write_whole(path, f"{new.private_text}\n".encode(), mode=0o600)
    except OSError as error:
        raise StartupError(f"{path}: {words_of(error)}.") from None
    _tell(path, keys, as_json=arguments.json)
    if not arguments.json:
        remark(
            f"Restart the server, and give auditors and witnesses the new {public.name}. The old "
            f"key is in {kept}: destroy it."
        )
    return 0


def _rotate_content(path: Path, *, as_json: bool) -> int:
    read_content_keys(path)
    old = private_file.read(path, MAX_CONTENT_FILE_BYTES)
    durable.write_whole(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode() + old, mode=0o600)
    _tell_content(path, as_json=as_json)
    if not as_json:
        remark("Restart the server: it wraps subjects' keys with the new one. Then remove the old.")
    return 0


def _tell(path: Path, keys: list[NoteVerifier], *, as_json: bool) -> None:
    kinds = {ED25519: "log", COSIGNATURE: "witness"}
    if as_json:
        listed = [
            {"name": key.name, "id": f"{key.key_id:08x}", "type": kinds[key.kind], "key": key.text}
            for key in keys
        ]
        print(json.dumps({"file": str(path), "keys": listed}))
        return
    for key in keys:
        print(f"{kinds[key.kind]} key {key.name}, id {key.key_id:08x}")
        print(f"  {key.text}")


def _tell_content(path: Path, *, as_json: bool) -> None:
    ids = [key.key_id for key in read_content_keys(path).keys]
    if as_json:
        print(json.dumps({"file": str(path), "content_keys": ids}))
        return
    print(f"content key {ids[0]}, which wraps")
    for key_id in ids[1:]:
        print(f"content key {key_id}, which only unwraps")
