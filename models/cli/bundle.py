"""`bundle` and `import`: a model onto media, and from media into the store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from models import progress
from models.bundle.media import Media
from models.bundle.read import Import, Imported
from models.bundle.write import DEFAULT_SPLIT, FAT32_MAX_BYTES, Bundle, Bundled
from models.cli.options import Commands, command, data_dir_flag, size_in_bytes
from models.cli.passwords import read_password
from models.errors import (
    BundleError,
    HashMismatchError,
    ModelError,
    ModelRefusedError,
    NotIntactError,
    PartsMissingError,
    SignatureError,
)
from models.lockfile import LockFile
from models.progress import JsonLines, Progress, size
from models.rules.names import printable_lines
from models.store import DEMO, DirectoryStore, locate
from models.trust.verified_cache import Stamps

NOT_OK = (
    *(HashMismatchError, ModelRefusedError, NotIntactError),
    *(PartsMissingError, SignatureError),
)
MIN_SPLIT = 64 << 10
Result: TypeAlias = tuple[str, dict[str, Any]]
"""A command's result: for people, and for programs."""
DEMO_COPY = f"intramural-{DEMO}"

JSON_TEXT = """\
with --json each line of stdout is an object; "event" says which:
  progress  phase, done_bytes, total_bytes, rate_bytes_per_s, eta_s (null: not known)
  notice    message
"""
BUNDLE_EPILOG = f"""\
Hashes the whole model, and refuses one that is not what its manifest says. Then writes into DIR
  NAME.part001 ...   its files one after the other, cut at the split size
  NAME.bundle.json   the index: every file and every part by size and SHA-256, written last
  NAME.bundle.sig    with --sign: a signature over the index (ECDSA over SHA-256, DER)
Parts may go on several media, each with or without the index. Without its index a bundle is none.

A run that was interrupted goes on with the parts that are there and right: run it again. Parts of
4 GB fit every file system; FAT32 holds no file of more than {FAT32_MAX_BYTES:,} bytes.

examples:
  python -m models bundle qwen2.5-7b --out /media/usb
  python -m models bundle qwen2.5-7b --out ./out --split 700MB --sign signer.pem
  openssl dgst -sha256 -verify signer.pub -signature NAME.bundle.sig NAME.bundle.json

{JSON_TEXT}\
  done      name, path, digest, num_parts, num_kept, size_bytes, key_id
  error     kind, message

exit codes: 0 the bundle is whole; 1 the model is not in order, so there is no bundle; 2 it cannot
be made: the message says why; 130 interrupted
"""
IMPORT_EPILOG = f"""\
Give the folders where parts are, the mount points of all media at once or one after the other:
parts that are missing are named, what was read is kept, and the next call goes on. The first call
needs the index. An import that was interrupted goes on in the same way: run it again.

With --trust, the index must be signed by one of these keys (`bundle --sign`), and this is checked
before anything in it is believed. Without it, damage is found, and forgery is not.

Every part and every file is hashed, the model must be one that this server would load, and it gets
its name by one rename, with its pin in DIR/models.lock. A damaged part is named with what was
expected and what was found, and another copy of it is looked for.

examples:
  python -m models import /media/usb --trust /etc/intramural/trusted-keys
  python -m models import /media/usb1 /media/usb2 --name ward-model
  python -m models import /media/usb/qwen2.5-7b.bundle.json      (of several bundles, this one)

{JSON_TEXT}\
  done      outcome (imported present), name, path, digest, repo, commit, key_id
  error     kind, message

exit codes: 0 the model is here; 1 parts are missing or damaged, or it is refused or not signed by
a trusted key; 2 it cannot be done: the message says why; 130 interrupted
"""


def add_commands(commands: Commands) -> None:
    """Add `bundle` and `import`."""
    text = "a model into files for media, to cross an air gap"
    write = command(commands, "bundle", text=text, run=_bundle, epilog=BUNDLE_EPILOG)
    write.add_argument("model", metavar="NAME|PATH", help="alias, repository or folder")
    write.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the parts go")
    write.add_argument(
        "--split",
        type=_part_size,
        default=DEFAULT_SPLIT,
        metavar="SIZE",
        help="bytes of a part at most: 4GB, 700MB, 2GiB (default: 4GB)",
    )
    write.add_argument("--name", help="its name in the bundle (default: its own)")
    write.add_argument("--sign", type=Path, metavar="KEY", help="private key, PEM (`keygen`)")
    write.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds the private key's password"
    )
    text = "a model from such files into the store"
    read = command(commands, "import", text=text, run=_import, epilog=IMPORT_EPILOG)
    read.add_argument("media", type=Path, nargs="+", metavar="DIR|FILE", help="where parts are")
    read.add_argument(
        "--trust", type=Path, metavar="DIR", help="one of the keys in here must have signed"
    )
    read.add_argument("--name", help="its name here (default: the bundle's)")
    read.add_argument(
        "--update", action="store_true", help="replace another model of that name, and its pin"
    )


def plan(
    model: str,
    folder: Path,
    meter: Progress,
    *,
    data_dir: Path,
    name: str | None = None,
    split: int = DEFAULT_SPLIT,
    private_key: Path | None = None,
    password_file: Path | None = None,
) -> Bundle:
    """The bundle of a model as people name it, held to its pin if it is of the store.

    Raises:
        ModelNotFoundError: there is no such model, or its name is no plain name.
        BundleError: the password's file cannot be read.
        LockFileError: models.lock is damaged.
    """
    own_name, path = locate(model, data_dir)
    name = name or (DEMO_COPY if own_name == DEMO else own_name)
    store = DirectoryStore(data_dir)
    store.path_of(name)
    is_stored = path == store.root / own_name
    return Bundle(
        name=name,
        source=path,
        folder=folder,
        progress=meter,
        pin=LockFile(data_dir).get(own_name) if is_stored else None,
        split=split,
        private_key=private_key,
        password=read_password(password_file, BundleError),
        stamps=Stamps(data_dir),
    )


def _bundle(options: argparse.Namespace) -> int:
    def work(meter: Progress) -> Result:
        if options.split > FAT32_MAX_BYTES:
            meter.notice(f"parts of {size(options.split)} do not fit on media with FAT32")
        bundled = plan(
            options.model,
            options.out,
            meter,
            data_dir=options.data_dir,
            name=options.name,
            split=options.split,
            private_key=options.sign,
            password_file=options.password_file,
        ).run()
        return _bundled_text(bundled), {
            "name": bundled.index.model,
            "path": str(bundled.folder),
            "digest": bundled.index.digest,
            "num_parts": len(bundled.index.parts),
            "num_kept": bundled.num_kept,
            "size_bytes": bundled.index.size,
            "key_id": bundled.key_id,
        }

    # Here a signature fails by its key alone, which says nothing of the model.
    return _run(options, work, tuple(kind for kind in NOT_OK if kind is not SignatureError))


def _import(options: argparse.Namespace) -> int:
    def work(meter: Progress) -> Result:
        imported = Import(
            media=Media.of(options.media),
            data_dir=options.data_dir,
            progress=meter,
            trust=options.trust,
            name=options.name,
            update=options.update,
        ).run()
        return _imported_text(imported, options.data_dir), {
            "outcome": str(imported.outcome),
            "name": imported.name,
            "path": str(imported.path),
            "digest": imported.index.digest,
            "repo": imported.index.pin.repo,
            "commit": imported.index.pin.commit,
            "key_id": imported.seal.key_id if imported.seal else None,
        }

    return _run(options, work)


def _run(
    options: argparse.Namespace,
    work: Callable[[Progress], Result],
    not_ok: tuple[type[ModelError], ...] = NOT_OK,
) -> int:
    """Run a command, and print its result or its error, in JSON or in words."""
    view = JsonLines(sys.stdout)
    try:
        with progress.shown(as_json=options.json) as meter:
            text, facts = work(meter)
    except ModelError as error:
        if options.json:
            view.event("error", kind=type(error).__name__, message=str(error))
        elif not isinstance(error, not_ok):
            raise
        else:
            print(f"not done: {printable_lines(str(error))}", file=sys.stderr)
        return 1 if isinstance(error, not_ok) else 2
    except KeyboardInterrupt:
        print("interrupted; run it again to go on with what is there", file=sys.stderr)
        return 130
    if options.json:
        view.event("done", **facts)
    else:
        print(text)
    return 0


def _bundled_text(bundled: Bundled) -> str:
    index = bundled.index
    kept = f", {bundled.num_kept} of them there already" if bundled.num_kept else ""
    return (
        f"bundled {index.model}: {size(index.size)} in {len(index.parts)} parts{kept}\n"
        f"  {bundled.folder}\n  {index.digest}\n"
        + (
            f"signed by the key {bundled.key_id}\n"
            if bundled.key_id
            else "not signed (--sign KEY)\n"
        )
        + f"over there: python -m models import {bundled.folder}"
    )


def _imported_text(imported: Imported, data_dir: Path) -> str:
    verb = "imported" if imported.outcome == "imported" else "here already, and whole:"
    signer = "who made the bundle was not asked (--trust DIR)"
    if imported.seal is not None:
        signer = f"signed by {imported.seal.key_file.name} ({imported.seal.key_id})"
    return (
        f"{verb} {imported.name}\n  {imported.path}\n  {imported.index.digest}\n{signer}\n"
        f"serve it: python -m serve --model {imported.name}{data_dir_flag(data_dir)}"
    )


def _part_size(text: str) -> int:
    num_bytes = size_in_bytes(text)
    if num_bytes < MIN_SPLIT:
        raise argparse.ArgumentTypeError(
            f"parts have at least {MIN_SPLIT:,} bytes; {text!r} is {num_bytes:,}"
        )
    return num_bytes
