"""`python -m serve wait model|keys`: return when a server with these settings has what it needs.

For what starts a server and cannot see into its volumes, such as an init container of Kubernetes:
a server without its model or its keys ends, and would be started again in a loop. What is waited
for is said once, and again whenever it is something else. Nothing is loaded, made or fetched.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from models.command_line import words_of
from models.errors import ModelError
from models.rules.names import printable_lines
from serve.cli.flags import Parser
from serve.composition.key_stores import opened_key_store
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.governance.identity.key_entry import StoredKey
from serve.provenance import proof, quality
from serve.provenance.quantising import QuantRequest, present
from serve.setting_names import env_of

INTERVAL_S = 2.0


def missing_model(config: Config) -> str | None:
    """The reason why a start would not take the model from the store; None when it would.

    It is there as the settings ask, signed and good enough where they ask for that. Its files are
    not hashed, and whether a device can hold it is not known here.
    """
    request = QuantRequest(
        target=config.target,
        choice=config.quant_choice,
        num_bytes=config.quant_bytes or 0,
        data_dir=config.data_dir,
        num_devices=config.tensor_parallel_size,
    )
    try:
        found = present(request)
        if found.artifact is None:
            return f"{found.reason.removesuffix('.')}."
        claim = proof.claim(
            found.artifact, config.data_dir, how=config.verify, trusted_keys=config.signature_keys
        )
        if config.min_quality is not None:
            quality.standing(found.artifact, claim.manifest, config.min_quality)
    except (ModelError, StartupError) as error:
        return str(error)
    return None


def missing_keys(config: Config) -> str | None:
    """The reason why no caller could be let in; None when a key is enabled."""
    in_database = config.api_keys == "database"
    file = None if in_database else config.api_key_file
    if file is None and not in_database:
        return f"No key file is named: set {env_of('api_key_file')}."
    try:
        entries = asyncio.run(_entries(config, file))
    except StartupError as error:
        return str(error)
    if not any(entry.state == "enabled" for entry in entries):
        place = "the database" if file is None else file
        return f"None of the {len(entries)} keys in {place} is enabled: nobody could ask."
    return None


async def _entries(config: Config, file: Path | None) -> Sequence[StoredKey]:
    async with opened_key_store(config, file, None) as store:
        return await store.read()


CHECKS: Mapping[str, Callable[[Config], str | None]] = {
    "model": missing_model,
    "keys": missing_keys,
}


def run_wait(argv: Sequence[str], sleep: Callable[[float], None] = time.sleep) -> int:
    """Wait for one of them; returns the exit code."""
    arguments = _parser().parse_args(list(argv))
    signal.signal(signal.SIGTERM, _end)  # the first process of a container has no default for it
    check, what = CHECKS[arguments.what], f"the {arguments.what}"
    told = None
    while (reason := _reason(check)) is not None:
        if reason != told:
            advice = f"\n{arguments.advice}" if arguments.advice else ""
            print(f"waiting for {what}: {printable_lines(reason + advice)}", file=sys.stderr)
            told = reason
        sleep(INTERVAL_S)
    print(f"{what} {'are' if arguments.what == 'keys' else 'is'} there", file=sys.stderr)
    return 0


def _reason(check: Callable[[Config], str | None]) -> str | None:
    """The reason to wait on; None when there is none.

    Settings that are refused are one, too: who is started anew for them gets the same. So is a
    file server that is away.
    """
    try:
        return check(load_config({}))
    except StartupError as error:
        return f"the settings are refused. {error}"
    except OSError as error:
        return f"{words_of(error)}."


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m serve wait",
        description="Wait until a server with the settings of the environment has its model, or a "
        "key that is enabled. It says what it waits for, and never gives up.",
        epilog="exit codes: 0 it is there; 2 wrong arguments; 130, 143 ended by a signal",
        allow_abbrev=False,
    )
    parser.add_argument("what", choices=tuple(CHECKS), help="what to wait for")
    parser.add_argument("--advice", metavar="TEXT", help="printed with what is missing")
    return parser
