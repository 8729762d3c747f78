"""`audit witness run`: the witness over HTTP, on the server that the API has."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from serve.api.http.listening import CannotListenError, listening, url_of
from serve.api.http.server import build_server
from serve.cli.audit.logs import log_keys
from serve.composition.signals import heed_signals
from serve.composition.tls import Encryption, build_encryption
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import RequestError, StartupError
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.witness.application import WitnessApplication
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.followed_keys import FollowedKeys
from serve.governance.audit.witness.mirrors import Mirrors
from serve.governance.audit.witness.state import WitnessState
from serve.governance.loopback import is_loopback_address, is_loopback_name
from serve.observe import logs
from serve.observe.metrics import Metrics

log = logging.getLogger(__name__)

FOLLOW_S: Final = 1.0
"""Seconds between two looks at the files of the logs' keys."""
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:]+)):(?P<port>[0-9]{1,5})")


def add_server(commands: Any) -> None:
    """Add the parser of `run`."""
    command = commands.add_parser("run", help="answer servers over HTTP")
    command.set_defaults(run=_run)
    command.add_argument(
        "--listen",
        default="127.0.0.1:8321",
        metavar="HOST:PORT",
        help="beyond loopback a certificate is needed (%(default)s)",
    )
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
        help="public keys of the logs that it knows, or a folder of such files, *.pub; read again "
        "when they change, and by SIGHUP",
    )
    command.add_argument(
        "--log-dir",
        type=Path,
        action="append",
        metavar="DIR",
        help="a log's folder that it can read: it then keeps a copy of the entries' hashes",
    )
    command.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="certificate, in PEM")
    command.add_argument("--ssl-keyfile", type=Path, metavar="FILE", help="its private key")


def _run(arguments: argparse.Namespace) -> int:
    """Answer until a signal ends it."""
    config = config_of(arguments)
    keys = FollowedKeys(arguments.log_key, lambda path: log_keys([path]))
    signer = read_signer(arguments.key, "--key")
    logs.configure("info", form="auto")
    with WitnessState(arguments.state) as state:
        try:
            witness = Witness(signer, keys.keys, state)
        except ValueError as error:
            raise StartupError(f"--key {arguments.key}: {error}.") from None
        mirrors = Mirrors(witness, arguments.log_dir) if arguments.log_dir else None
        application = WitnessApplication(witness, mirrors)
        asyncio.run(_serve(application, witness, keys, config))
    return 0


def config_of(arguments: argparse.Namespace) -> Config:
    """Settings of the HTTP server: where it listens, its certificate, and the defaults of all else.

    Raises:
        StartupError: it would be plain HTTP beyond loopback.
    """
    match = _LISTEN.fullmatch(arguments.listen)
    if match is None or int(match["port"]) >= 1 << 16:
        raise StartupError(f"--listen {arguments.listen}: a host and a port, 127.0.0.1:8321.")
    host = match["v6"] or match["host"]
    is_loopback = is_loopback_name(host) or is_loopback_address(host)
    if not is_loopback and arguments.ssl_certfile is None:
        raise StartupError(
            f"--listen {arguments.listen} is not loopback and there is no TLS: give a certificate "
            "with --ssl-certfile and --ssl-keyfile, or listen on 127.0.0.1 behind a proxy."
        )
    if (arguments.ssl_certfile is None) != (arguments.ssl_keyfile is None):
        raise StartupError("--ssl-certfile and --ssl-keyfile go together: give both.")
    given = {
        "host": host,
        "port": int(match["port"]),
        "ssl_certfile": arguments.ssl_certfile,
        "ssl_keyfile": arguments.ssl_keyfile,
        "ssl_ca_certs": None,
        "client_cert_map": None,
    }
    # The environment is a server's, and this is none.
    return load_config({name: value for name, value in given.items() if value is not None}, env={})


async def _serve(
    application: WitnessApplication, witness: Witness, keys: FollowedKeys, config: Config
) -> None:
    """Answer until a signal ends it."""
    encryption = build_encryption(config, Metrics())

    def reload() -> None:
        encryption.reload()
        keys.reload()

    async with answering(application, encryption, config) as (url, serving):
        stop = heed_signals(reload)
        stopping = asyncio.create_task(stop.wait())
        following = asyncio.create_task(follow(keys, witness))
        log.info(
            "witnessing",
            extra={"url": url, "witness": witness.verifier.name, "logs": _names(witness)},
        )
        tasks = {serving, stopping, following}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        following.cancel()
        if following in done:  # never, but for a defect: it is not to go on with old keys
            await following


@asynccontextmanager
async def answering(
    application: WitnessApplication, encryption: Encryption, config: Config
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """A server of the application while the block runs: its URL, and the task that answers.

    Raises:
        StartupError: it cannot listen there.
    """
    with listening_by_flag(config) as listeners:
        server = build_server(application, config, problem=_problem, tls=encryption.context)
        serving = asyncio.create_task(server.serve(sockets=listeners))
        try:
            yield url_of(config.host, listeners, encryption.names), serving
        finally:
            server.stop()
            await serving


@contextmanager
def listening_by_flag(config: Config) -> Iterator[list[socket.socket]]:
    """The listening sockets while the block runs. Raises StartupError in words of its flag."""
    with ExitStack() as stack:
        try:
            listeners = stack.enter_context(listening(config.host, config.port))
        except CannotListenError as error:
            if error.is_taken:
                advice = "Stop what uses it, or choose another port with --listen HOST:PORT."
            else:
                advice = "Give an address of this machine with --listen HOST:PORT."
            raise StartupError(f"{error.what} {advice}") from None
        yield listeners


async def follow(keys: FollowedKeys, witness: Witness, *, every_s: float = FOLLOW_S) -> None:
    """Have the witness know the logs whose keys are there, until this is cancelled."""
    while True:
        if witness.know(await asyncio.to_thread(lambda: keys.keys)):
            log.info("logs are known anew", extra={"logs": _names(witness)})
        await asyncio.sleep(every_s)


def _names(witness: Witness) -> str:
    return ", ".join(witness.origins)


def _problem(error: RequestError) -> bytes:
    return f"{error.message}\n".encode()
