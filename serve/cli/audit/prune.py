"""`audit prune`: remove what is older than the retention, but for what a legal hold keeps."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from models.command_line import words_of
from serve.cli.audit.acts import NAME, recorded
from serve.cli.audit.logs import LogPlace, add_place, places
from serve.cli.audit.printing import moment, progress, remark
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.audit.retention.holds import load
from serve.governance.audit.retention.pruning import DAY_S, Plan, carry_out, planned

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

It may run while a server writes, by cron or a CronJob. A record of it goes into the log `commands`.
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
    command.add_argument("--holds", type=Path, metavar="FILE", help="TOML file of legal holds")
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
    holds = load(arguments.holds) if arguments.holds else ()
    for place in places(arguments):
        log = place.opened()
        try:
            with progress(f"reading {place.name}") as told:
                plan = planned(log, before_s, holds, progress=told)
            num_files = 0
            if not arguments.dry_run and (plan.num_entries or plan.content_at):
                if plan.num_entries:
                    recorded(place.path.parent, "audit_prune", _details(place, plan, days))
                num_files = carry_out(log, plan)
        except OSError as error:
            raise StartupError(f"{place.name}: {words_of(error)}. Run it again.") from None
        if arguments.json:
            print(json.dumps(_document(place, plan, num_files, is_dry=arguments.dry_run)))
        else:
            _print(place, plan, is_dry=arguments.dry_run)
    return 0


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
