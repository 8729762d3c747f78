"""`audit verify`: whether a log is what was written, and what its witnesses signed."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from serve.cli.audit.logs import LogPlace, add_place, places, witness_keys
from serve.cli.audit.printing import moment, progress, remark
from serve.governance.audit.reading.verdict import Verdict, judged

EPILOG = """\
Computed again are all leaf hashes, tiles and the root, and the root is held against the checkpoint
that the log's key signed. With --witness-key, also against what that witness signed: who rewrites
a log with its real key is found by that alone. Then the calls: each has one begin and one end.

with --json one object a log on stdout:
  log, size, verified, behind, minimum_index, bad (index, place, reason; null: nothing), cosigned
  (witness, size, at), unsigned, diverged, begins, ends, open, faults (index, what), ok

exit codes: 0 nothing is wrong; 1 something is; 2 it could not be looked at
"""
MAX_OPEN = 20


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "verify",
        help="name the first bad entry, or say that there is none",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(command)
    command.add_argument(
        "--witness-key",
        action="append",
        type=Path,
        metavar="FILE",
        help="public keys of witnesses that must have signed each log",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    witnesses = witness_keys(arguments.witness_key or ())
    is_ok = True
    for place in places(arguments):
        with progress(f"verifying {place.name}") as told:
            verdict = judged(place.path, place.verifiers, witnesses, progress=told)
        is_ok = is_ok and verdict.is_ok
        if arguments.json:
            print(json.dumps(_document(place, verdict)), flush=True)
        else:
            _print(place, verdict)
    if is_ok and not witnesses and not arguments.json:
        remark(
            "This is what the key signed. Whoever holds the key could have written all of it anew: "
            "with --witness-key it is held against what a second party signed."
        )
    return 0 if is_ok else 1


def _print(place: LogPlace, verdict: Verdict) -> None:
    tree, calls = verdict.tree, verdict.calls
    if verdict.bad is not None:
        print(f"{place.name}: BAD  {verdict.bad}")
    else:
        pruned = f", entries before {tree.minimum_index} pruned" if tree.minimum_index else ""
        print(f"{place.name}: {tree.size:,} entries verified{pruned}")
    for found in verdict.cosigned:
        size = found.checkpoint.size
        rest = f", {tree.size - size:,} behind it are not yet" if tree.size > size else ""
        age_s = max(0, int(time.time()) - found.at_s)
        print(
            f"  cosigned by {found.witness.name}: {size:,} entries on {moment(found.at_s)}, "
            f"{age_s:,} s ago{rest}"
        )
    for name, why in verdict.unsigned.items():
        print(f"  BAD  not cosigned by {name}: {why}")
    for what in verdict.diverged:
        print(f"  BAD  not the log that was cosigned by {what}")
    if tree.num_behind:
        print(f"  {tree.num_behind} entries are durable and not under the checkpoint yet")
    if calls is None:
        return
    print(f"  {calls.num_begins:,} calls began, {calls.num_ends:,} ended")
    for fault in calls.faults:
        print(f"  BAD  entry {fault.index}: {fault.what}")
    if calls.num_faults > len(calls.faults):
        print(f"  BAD  and {calls.num_faults - len(calls.faults)} more")
    if calls.open:
        listed = list(calls.open.items())[:MAX_OPEN]
        names = ", ".join(f"{request_id} ({index})" for index, request_id in listed)
        more = f" and {len(calls.open) - MAX_OPEN} more" if len(calls.open) > MAX_OPEN else ""
        print(f"  without an end, running or to be ended by the next start: {names}{more}")


def _document(place: LogPlace, verdict: Verdict) -> dict[str, Any]:
    tree, calls, bad = verdict.tree, verdict.calls, verdict.bad
    return {
        "log": place.name,
        "size": tree.size,
        "verified": tree.num_verified,
        "behind": tree.num_behind,
        "minimum_index": tree.minimum_index,
        "bad": bad and {"index": bad.index, "place": bad.place, "reason": bad.reason},
        "cosigned": [
            {"witness": one.witness.name, "size": one.checkpoint.size, "at": moment(one.at_s)}
            for one in verdict.cosigned
        ],
        "unsigned": verdict.unsigned,
        "diverged": verdict.diverged,
        "begins": calls.num_begins if calls else None,
        "ends": calls.num_ends if calls else None,
        "open": [
            {"index": index, "id": request_id}
            for index, request_id in list((calls.open if calls else {}).items())[:1000]
        ],
        "faults": [
            {"index": fault.index, "what": fault.what} for fault in (calls.faults if calls else ())
        ],
        "ok": verdict.is_ok,
    }
