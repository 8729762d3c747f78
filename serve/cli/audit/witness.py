"""`audit witness`: the second party, as a process over HTTP or as a visit to the log's folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models import durable
from models.command_line import words_of
from serve.cli.audit.logs import log_keys
from serve.cli.audit.printing import moment, remark
from serve.cli.audit.witness_server import add_server
from serve.errors import StartupError
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog import notes
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.tlog.notes import InvalidNote
from serve.governance.audit.witness.cosigned_notes import CosignedNotes
from serve.governance.audit.witness.cosigning import RefusedError, Witness
from serve.governance.audit.witness.folder_witness import DivergedError, FolderWitness
from serve.governance.audit.witness.leaf_copy import CopyRefusedError
from serve.governance.audit.witness.state import WitnessState

EPILOG = """\
A witness signs a log's checkpoint where it continues the last one that it signed, and never where
it does not. It has a key and a memory (--state) of its own, and is run by somebody else than the
log: another team, an auditor, another machine. Whoever has the operator's keys and the witness's
key and memory can still rewrite everything: keep them apart.

  run     answers a server's --audit-witness-file over HTTP (c2sp.org/tlog-witness)
  cosign  visits a log's folder, or a copy of it, and signs its checkpoint
  check   the same without signing: whether the log is still the one that was cosigned

cosign and check keep a copy of the entries' hashes in --state, 32 bytes an entry, and so name the
first entry that was changed. Without a copy (run, or --no-copy) a witness names the entries between
two of the checkpoints that it signed: it has the checkpoint of each minute.

examples:
  python -m serve audit key generate witness.key --name witness.example.org --witness
  python -m serve audit witness run --listen 127.0.0.1:8321 --state /var/lib/witness \\
      --key witness.key --log-key log.pub
  python -m serve audit witness cosign /mnt/audit/llm-0 --state /var/lib/auditor \\
      --key witness.key --log-key log.pub

exit codes: 0 signed, or as it was; 1 the log is another one, or is refused; 2 it cannot be done
"""


def add(commands: Any) -> None:
    """Add the commands' parsers."""
    command = commands.add_parser(
        "witness",
        help="be the second party that signs a log's growth",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    below = command.add_subparsers(
        dest="witness_command", required=True, metavar="run|cosign|check"
    )
    add_server(below)
    sign = below.add_parser("cosign", help="sign a log's checkpoint, if it continues the last one")
    sign.set_defaults(run=_cosign)
    look = below.add_parser("check", help="whether a log is still the one that was cosigned")
    look.set_defaults(run=_check)
    for each in (sign, look):
        each.add_argument("dir", type=Path, metavar="DIR", help="one log's folder, or a copy of it")
        add_identity(each)
        each.add_argument(
            "--no-copy", action="store_true", help="keep no copy of the entries' hashes"
        )
        each.add_argument("--json", action="store_true", help="print JSON")
    sign.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the cosigned checkpoint there (default: into DIR/cosignatures)",
    )


def add_identity(command: argparse.ArgumentParser) -> None:
    """Flags that say which witness, and of which logs."""
    command.add_argument(
        "--state", type=Path, required=True, metavar="DIR", help="its memory; is made"
    )
    command.add_argument("--key", type=Path, required=True, metavar="FILE", help="its key")
    command.add_argument(
        "--log-key",
        type=Path,
        required=True,
        action="append",
        metavar="FILE",
        help="public keys of the logs that it knows, or a folder of such files, *.pub",
    )


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Witness]:
    """The witness that the flags name.

    Raises:
        StartupError: its key or its state cannot be used.
    """
    signer = read_signer(arguments.key, "--key")
    keys = log_keys(arguments.log_key)
    with WitnessState(arguments.state) as state:
        try:
            yield Witness(signer, keys, state)
        except ValueError as error:
            if isinstance(error, InvalidNote):
                raise StartupError(
                    f"What the witness kept in {arguments.state} is damaged: {error}. Restore it "
                    "from a copy: with a new state it would sign another past."
                ) from None
            raise StartupError(f"--key {arguments.key}: {error}.") from None


def _check(arguments: argparse.Namespace) -> int:
    with opened(arguments) as witness:
        visit = _visit(witness, arguments)
        try:
            held = visit.check()
        except DivergedError as error:
            return _tell_diverged(error, as_json=arguments.json)
    if held is None:
        raise StartupError(
            f"There is nothing to hold {visit.log.checkpoint.origin} against: --state "
            f"{arguments.state} has cosigned no checkpoint of it. Name the state of the witness "
            "that did, or begin with `audit witness cosign`."
        )
    if arguments.json:
        at = moment(held.time_s)
        print(json.dumps({"ok": True, "cosigned": held.size, "at": at, "size": visit.log.size}))
    else:
        print(
            f"{visit.log.checkpoint.origin} is the log of which {held.size:,} entries were "
            f"cosigned on {moment(held.time_s)}; it has {visit.log.size:,}"
        )
    return 0


def _cosign(arguments: argparse.Namespace) -> int:
    with opened(arguments) as witness:
        visit = _visit(witness, arguments)
        try:
            signature = visit.cosign()
        except DivergedError as error:
            return _tell_diverged(error, as_json=arguments.json)
        except (RefusedError, CopyRefusedError) as error:
            reason = str(error) or "its tiles have other entries than its checkpoint signs"
            return _tell_refused(reason, as_json=arguments.json)
        before = notes.parse(visit.log.note)
        cosigned = notes.Note(before.text, (*before.signatures, signature))
        try:
            if arguments.out is None:
                CosignedNotes(visit.log.path).keep(witness.verifier, cosigned)
            else:
                durable.write_whole(arguments.out, cosigned.content.encode())
        except OSError as error:
            raise StartupError(
                f"It is signed, and could not be written: {words_of(error)}. Name a file: --out."
            ) from None
    size = visit.log.size
    if arguments.json:
        at = moment(signature.signed_at or 0)
        print(json.dumps({"ok": True, "cosigned": size, "at": at, "line": signature.line.strip()}))
    else:
        print(f"cosigned {size:,} entries of {visit.log.checkpoint.origin}")
    return 0


def _visit(witness: Witness, arguments: argparse.Namespace) -> FolderWitness:
    log = LogFolder(arguments.dir, log_keys(arguments.log_key))
    return FolderWitness(witness, log, copies=not arguments.no_copy)


def _tell_diverged(error: DivergedError, *, as_json: bool) -> int:
    found = error.divergence
    if not as_json:
        print(f"REFUSED: this is not the log that was cosigned: {error}")
        remark("Keep the folder as it is, and the witness's state: both are evidence.")
        return 1
    where = found and {"first": found.first, "last": found.last, "missing": found.is_missing}
    held = {"size": error.held.size, "at": moment(error.held.time_s)}
    print(json.dumps({"ok": False, "reason": str(error), "differs": where, "cosigned": held}))
    return 1


def _tell_refused(reason: str, *, as_json: bool) -> int:
    print(json.dumps({"ok": False, "reason": reason}) if as_json else f"REFUSED: {reason}")
    return 1
