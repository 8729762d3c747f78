"""`audit erase`: destroy subjects' keys, so that nobody reads their prompts and answers again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from models.command_line import words_of
from serve.cli.audit.acts import NAME, recorded
from serve.cli.audit.logs import add_place, places
from serve.cli.audit.printing import progress, remark
from serve.errors import StartupError
from serve.governance.audit.retention.erasing import Erasure, erase, subjects
from serve.governance.audit.retention.holds import Hold, load

EPILOG = """\
Contents are kept encrypted under a key of each subject: an owner of a tenant, or an API key that
has no owner. Its key is destroyed here, in all logs of DIR, and a record of that goes into the log
`commands` before. Entries stay, with names, times and hashes, and every log verifies as before.

What it does not reach: copies of DIR/LOG/content/keys in backups, together with the content key.
Keep the two apart, or let such backups expire; afterwards rotate the content key.

A legal hold that may cover the subject refuses, whatever the hold's times: a key opens all of them.
A server that runs makes a new key for the subject's next call.

exit codes: 0 erased, or there was nothing; 1 a hold refuses; 2 it cannot be done
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "erase",
        help="destroy a subject's key: its contents become noise",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(command)
    command.add_argument("--tenant", metavar="NAME", help="all of this tenant, or with --owner one")
    command.add_argument("--owner", metavar="NAME", help="this owner of the tenant alone")
    command.add_argument("--key-id", metavar="ID", help="this API key, which has no owner")
    command.add_argument("--holds", type=Path, metavar="FILE", help="TOML file of legal holds")
    command.add_argument("--dry-run", action="store_true", help="say what would be erased")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    holds = load(arguments.holds) if arguments.holds else ()
    if (hold := wanted.held_by(holds)) is not None:
        return _refused(hold, as_json=arguments.json)
    erased: list[dict[str, str]] = []
    for place in places(arguments):
        log = place.opened()
        try:
            with progress(f"reading {place.name}") as told:
                found = subjects(log, wanted, progress=told)
            for subject in found:
                if not arguments.dry_run:
                    details = {"log": place.name, "subject": subject}
                    recorded(place.path.parent, "audit_erase", details)
                    erase(log, subject)
                erased.append({"log": place.name, "subject": subject})
        except OSError as error:
            raise StartupError(f"{place.name}: {words_of(error)}. Run it again.") from None
    if arguments.json:
        print(json.dumps({"ok": True, "dry_run": arguments.dry_run, "erased": erased}))
        return 0
    verb = "would be erased" if arguments.dry_run else "erased"
    for each in erased:
        print(f"{each['log']}: {verb} {each['subject']}")
    if not erased:
        remark("No such subject has a key: nothing of it was kept, or it was erased before.")
    elif not arguments.dry_run:
        remark(f"Recorded in the log {NAME}. Backups of the keys are not reached: see --help.")
    return 0


def _wanted(arguments: argparse.Namespace) -> Erasure:
    if arguments.key_id and (arguments.tenant or arguments.owner):
        raise StartupError("--key-id names one key: leave out --tenant and --owner.")
    if not (arguments.key_id or arguments.tenant):
        raise StartupError("Erase whom? Name --tenant, with --owner for one of it, or --key-id.")
    return Erasure(tenant=arguments.tenant, owner=arguments.owner, key=arguments.key_id)


def _refused(hold: Hold, *, as_json: bool) -> int:
    reason = (
        f"the legal hold {hold.name!r} may cover it. Nothing was erased. Once whoever ordered the "
        "hold lifts it, take it out of the file"
    )
    print(json.dumps({"ok": False, "reason": reason}) if as_json else f"REFUSED: {reason}.")
    return 1
