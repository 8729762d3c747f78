"""python -m tests.clients URL MODEL [CLIENT ...]: the usual calls against a server that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.clients.environments import NotInstalled
from tests.clients.table import CLIENTS, Outcome, outcomes


def main(argv: Sequence[str] | None = None) -> int:
    """Print what failed and why, then a row for each client."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("url", help="of the server, without /v1")
    parser.add_argument("model", help="as /v1/models names it")
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help="; ".join(CLIENTS))
    asked = parser.parse_args(argv)
    rows = []
    is_whole = True
    for client in asked.clients or CLIENTS:
        try:
            told = outcomes(client, asked.url, asked.model)
        except (NotInstalled, RuntimeError) as error:
            told = {"its process": Outcome(str(error), None)}
        failed = {call: outcome for call, outcome in told.items() if outcome.error}
        for call, outcome in failed.items():
            print(f"{client}.{call}: {outcome.error}", flush=True)
        is_whole = is_whole and not failed
        rows.append(f"| {client} | {len(told) - len(failed)} of {len(told)} |")
    print("\n".join(["| client | calls passed |", "|---|---|", *rows]))
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
