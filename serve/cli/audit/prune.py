"""`audit prune`: remove what is older than the retention, but for what a legal hold keeps."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from models.command_line import words_of
from serve.cli.audit.acts import NAME, acting
from serve.cli.audit.logs import LogPlace, add_holds, add_place, holds_of, places
from serve.cli.audit.printing import moment, progress, remark
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.retention.holds import Hold
from serve.governance.audit.retention.pruning import (
    DAY_S,
    Plan,
    carry_out,
    has_old_contents,
    planned,
)

FLOOR_DAYS: Final = 183
EPILOG = """\
Entries go from a log's beginning on, 256 at a time, with the contents that they name; hash tiles
stay, so that proofs and witnesses go on. A log that was pruned verifies from its first entry on.
The first entry that is young enough, or that a legal hold covers, keeps itself and all behind it.

The file of holds is TOML, and each hold says what it covers (docs/audit.md):
  [[hold]]
  name = "case-2026-114"
  tenant = "research"
  from = 2026-03-01
  to = 2026-04-01

It may run while a server writes, by cron or a CronJob. A record of it goes into the log `cli`. What
goes is held against what the log signed before: a log that is damaged keeps all that it has.

exit codes: 0 pruned, or nothing was old enough; 1 a log could not be pruned: it is named, and the
others were; 2 nothing was done, as the settings or the file of holds cannot be used
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "prune",
        help="remove what is older than the retention",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(command)
    command.add_argument(
        "--retention-days", type=int, metavar="INT", help="default: the setting's, which is 183"
    )
    add_holds(command)
    command.add_argument("--dry-run", action="store_true", help="say what would go")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    config = load_config({}, file=arguments.config)
    days = arguments.retention_days
    if days is None:
        days = config.audit_retention_days
    if days < 1:
        raise StartupError(f"--retention-days {days}: at least 1 day is kept.")
    if days < FLOOR_DAYS and not arguments.json:
        remark(
            f"{days} days are fewer than the {FLOOR_DAYS} that several laws ask of such logs "
            "(docs/audit.md)."
        )
    before_s = time.time() - days * DAY_S
    holds = holds_of(arguments)
    results = [_prune(place, before_s, holds, days, arguments) for place in places(arguments)]
    return 0 if all(results) else 1


def _prune(
    place: LogPlace,
    before_s: float,
    holds: Sequence[Hold],
    days: int,
    arguments: argparse.Namespace,
) -> bool:
    """Prune one log, and print what became of it. Whether it could be done."""
    try:
        log = place.opened()
        with progress(f"reading {place.name}") as told:
            plan = planned(log, before_s, holds, progress=told)
        num_files = 0
        if not arguments.dry_run and (plan.num_entries or has_old_contents(log, plan)):
            with acting(place.path.parent, "audit.prune", _details(place, plan, days)) as done:
                num_files = done["content_files"] = carry_out(log, plan)
    except (OSError, StartupError) as error:
        _print_failure(place, error, as_json=arguments.json)
        return False
    if arguments.json:
        print(json.dumps(_document(place, plan, num_files, is_dry=arguments.dry_run)))
    else:
        _print(place, plan, is_dry=arguments.dry_run)
    return True


def _print_failure(place: LogPlace, error: OSError | StartupError, *, as_json: bool) -> None:
    reason = words_of(error).rstrip(".")
    if as_json:
        print(json.dumps({"log": place.name, "error": reason}))
        return
    print(f"{place.name}: NOT PRUNED: {reason}")
    if isinstance(error, LogDamaged):
        remark("Nothing of it was removed: it is evidence. `audit verify` says more.")
    else:
        remark("Run it again.")


def _print(place: LogPlace, plan: Plan, *, is_dry: bool) -> None:
    verb = "would be removed" if is_dry else "removed"
    if plan.num_entries:
        print(f"{place.name}: entries {plan.first} to {plan.index - 1} {verb}")
    else:
        print(f"{place.name}: nothing is old enough to go, or it is kept")
    if plan.hold is not None and plan.keeper is not None:
        print(
            f"  the legal hold {plan.hold.name!r} keeps entry {plan.keeper.index} of "
            f"{plan.keeper.at[:10]}, and so all behind it: {plan.num_held:,} entries that are old "
            "enough stay"
        )
    if plan.num_entries and not is_dry:
        remark(f"Recorded in the log {NAME}.")


def _details(place: LogPlace, plan: Plan, days: int) -> dict[str, Any]:
    return {
        "log": place.name,
        "first": plan.first,
        "minimum_index": plan.index,
        "retention_days": days,
        "hold": plan.hold.name if plan.hold else "",
    }


def _document(place: LogPlace, plan: Plan, num_files: int, *, is_dry: bool) -> dict[str, Any]:
    at = None if plan.keeper is None else plan.keeper.time_s
    return {
        "log": place.name,
        "dry_run": is_dry,
        "first": plan.first,
        "minimum_index": plan.index,
        "removed": plan.num_entries,
        "content_files_removed": num_files,
        "hold": plan.hold and plan.hold.name,
        "held": plan.num_held,
        "oldest_kept": at and moment(at),
    }
