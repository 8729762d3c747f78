"""`audit prove`: that an entry is in a log, for a third party who has nothing but a public key."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import durable, plain_file
from models.command_line import words_of
from serve.cli.audit.acts import add_record_dir, reading
from serve.cli.audit.logs import LogPlace, add_place, log_keys, one_place, places, witness_keys
from serve.cli.audit.printing import moment, remark
from serve.cli.audit.queries import request_id
from serve.errors import StartupError
from serve.governance.audit.content.content_keys import read_content_keys
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.log.pruning import minimum_index
from serve.governance.audit.reading.contents import ContentGoneError, Contents
from serve.governance.audit.reading.disclosing import MAX_BYTES, disclosed, shown
from serve.governance.audit.reading.proving import NotCosignedError, indices_of, proven
from serve.governance.audit.records.canonical import decoded
from serve.governance.audit.tlog.hashing import leaf_hash
from serve.governance.audit.tlog.keys import NoteVerifier
from serve.governance.audit.tlog.proof_text import (
    MAX_PROOF_BYTES,
    SUFFIX,
    InvalidProof,
    Proof,
    verified,
)
from serve.governance.audit.tlog.tiles import MAX_ENTRY_BYTES

EPILOG = """\
For each entry two files: PREFIX-INDEX.json, the entry's bytes as they were logged, and
PREFIX-INDEX.tlog-proof (c2sp.org/tlog-proof), the path from it to a checkpoint that the log signed.
A request that ran has a begin and an end, and so two pairs. With --witness-key the checkpoint is
one that these witnesses signed: without, the proof says what the log's key says, and no more.

With --content-key-file a third file, PREFIX-INDEX.content, shows the prompt or the answer itself:
sealed as the entry has its hash, and the key of that one call, which opens nothing else. That is
recorded before, as `audit export --help` says.

To check it takes the two files and the public keys, and no log:
  python -m serve audit prove --check A-17.tlog-proof --entry A-17.json --log-key log.pub

exit codes: 0 proven; 1 it is not in the log, or the proof does not hold; 2 it cannot be done
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "prove",
        help="prove an entry to a third party, or check a proof",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "what", nargs="?", metavar="INDEX|REQUEST", help="an entry, a request, or an answer"
    )
    add_place(command, is_positional=False)
    command.add_argument("--out", metavar="PREFIX", help="of the files; default: the log's name")
    command.add_argument("--check", type=Path, metavar="PROOF", help="check this proof instead")
    command.add_argument(
        "--content-key-file", type=Path, metavar="FILE", help="also show the prompt or the answer"
    )
    add_record_dir(command)
    command.add_argument(
        "--content", type=Path, metavar="FILE", help="check that, too, and print it"
    )
    command.add_argument("--entry", type=Path, metavar="FILE", help="the entry that it is of")
    command.add_argument(
        "--witness-key",
        action="append",
        type=Path,
        metavar="FILE",
        help="public keys of witnesses that must have signed",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    witnesses = witness_keys(arguments.witness_key or ())
    if arguments.record_dir and not arguments.content_key_file:
        raise StartupError("--record-dir goes with --content-key-file: else nothing is recorded.")
    if arguments.check is not None:
        if arguments.what or arguments.dir or arguments.out:
            raise StartupError("--check needs no log: leave out the index, --dir and --out.")
        return _check(arguments, witnesses)
    if not arguments.what:
        raise StartupError("Prove which entry? Name its index, or a request's id.")
    if arguments.entry or arguments.content:
        raise StartupError("--entry and --content go with --check: add that, or leave them out.")
    place, log, indices = _meant(arguments)
    try:
        found = {index: proven(log, index, witnesses) for index in indices}
    except (NotCosignedError, ValueError) as error:
        raise StartupError(f"{place.name}: {error}.") from None
    files = [
        _write(f"{arguments.out or place.name}-{index}", log.entry(index), proof)
        for index, proof in found.items()
    ]
    if arguments.content_key_file is not None:
        _disclose(place, log, arguments, indices)
    if arguments.json:
        print(json.dumps([{"entry": str(entry), "proof": str(proof)} for entry, proof in files]))
        return 0
    for entry, proof in files:
        print(f"{entry}  {proof}")
    if not witnesses:
        remark("The log alone vouches for it: with --witness-key a second party does, too.")
    return 0


def _disclose(
    place: LogPlace, log: LogFolder, arguments: argparse.Namespace, indices: Sequence[int]
) -> None:
    """Write what shows the documents of entries; that it is shown is recorded before."""
    contents = Contents(place.path, read_content_keys(arguments.content_key_file))
    details = {"log": place.name, "entries": list(indices)}
    with reading(place.path.parent, arguments.record_dir, "audit.disclose", details):
        for index in indices:
            note = decoded(log.entry(index)).get("content")
            if not isinstance(note, dict):
                continue
            path = Path(f"{arguments.out or place.name}-{index}.content")
            try:
                durable.write_whole(path, disclosed(contents, note), mode=0o600)
            except ContentGoneError as error:
                raise StartupError(f"{place.name}, entry {index}: {error}.") from None
            except OSError as error:
                raise StartupError(f"{path}: {words_of(error)}.") from None


def _meant(arguments: argparse.Namespace) -> tuple[LogPlace, LogFolder, list[int]]:
    """The log and the entries that are meant: a request's are looked for in each log.

    Raises:
        StartupError: there are none, or an index is of several logs.
    """
    what = arguments.what
    if what.isascii() and what.isdigit():
        place = one_place(arguments)
        log = place.opened()
        return place, log, [_index(log, int(what))]
    chosen = places(arguments)
    for place in chosen:
        log = place.opened()
        found = indices_of(log, request_id(what), minimum_index(log.path))
        if found:
            return place, log, sorted(found.values())
    names = ", ".join(place.name for place in chosen)
    raise StartupError(f"There is no entry of a request {what!r} in {names}.")


def _index(log: LogFolder, index: int) -> int:
    """The index. Raises StartupError where the log has no such entry."""
    first = minimum_index(log.path)
    if first <= index < log.size:
        return index
    gone = f" (those before {first} were pruned)" if index < first else ""
    raise StartupError(f"There is no entry {index}: the log has {first} to {log.size - 1}{gone}.")


def _write(prefix: str, entry: bytes, proof: Proof) -> tuple[Path, Path]:
    paths = Path(f"{prefix}.json"), Path(f"{prefix}{SUFFIX}")
    try:
        for path, content in zip(paths, (entry, proof.content), strict=True):
            durable.write_whole(path, content, mode=0o600)
    except OSError as error:
        raise StartupError(f"{prefix} cannot be written: {error.strerror or error}.") from None
    return paths


def _check(arguments: argparse.Namespace, witnesses: tuple[NoteVerifier, ...]) -> int:
    if arguments.entry is None or not arguments.log_key:
        raise StartupError(
            "A proof is checked with its entry and the log's key: --entry and --log-key."
        )
    keys = log_keys(arguments.log_key)
    try:
        proof_text = plain_file.read(arguments.check, MAX_PROOF_BYTES, may_be_link=True)
        entry = plain_file.read(arguments.entry, MAX_ENTRY_BYTES, may_be_link=True)
        content = None
        if arguments.content is not None:
            content = plain_file.read(arguments.content, MAX_BYTES, may_be_link=True)
    except OSError as error:
        raise StartupError(f"{error.filename}: {words_of(error)}.") from None
    try:
        proof = Proof.parse(proof_text)
        verified(proof, leaf_hash(entry), keys)  # signed by the log, whoever else signed it
        checkpoint, note = verified(proof, leaf_hash(entry), [*keys, *witnesses])
        signed = {(one.name, one.key_id): one.signed_at for one in note.verified}
        missing = [key.name for key in witnesses if (key.name, key.key_id) not in signed]
        if missing:
            raise InvalidProof(f"{missing[0]} has not signed its checkpoint")
        document = None if content is None else shown(content, entry)
    except (InvalidProof, ContentGoneError) as error:
        if arguments.json:
            print(json.dumps({"ok": False, "reason": str(error)}))
        else:
            print(f"NOT PROVEN: {error}")
        return 1
    times = {name: moment(at) for (name, _), at in signed.items() if at is not None}
    if arguments.json:
        found = {"ok": True, "log": checkpoint.origin, "index": proof.index}
        found |= {"size": checkpoint.size, "cosigned": times}
        print(json.dumps(found if content is None else {**found, "content": document}))
        return 0
    print(
        f"proven: entry {proof.index} of {checkpoint.origin}, which has {checkpoint.size} entries"
    )
    for name, at in times.items():
        print(f"  cosigned by {name} on {at}")
    if content is not None:
        print(json.dumps(document))
    return 0
