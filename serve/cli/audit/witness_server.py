"""`audit witness run`: the witness over HTTP, on the server that the API has."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
from pathlib import Path
from typing import Any

from serve.api.http.listening import listening, url_of
from serve.api.http.server import build_server
from serve.cli.audit.logs import log_keys
from serve.composition.signals import heed_signals
from serve.composition.tls import build_encryption
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import RequestError, StartupError
from serve.governance.audit.tlog.key_files import read_signer
from serve.governance.audit.witness.application import WitnessApplication
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.mirrors import Mirrors
from serve.governance.audit.witness.state import WitnessState
from serve.governance.loopback import is_loopback_address, is_loopback_name
from serve.observe import logs
from serve.observe.metrics import Metrics

log = logging.getLogger(__name__)

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
        help="public keys of the logs that it knows",
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
    config = _config(arguments)
    keys = log_keys(arguments.log_key)
    signer = read_signer(arguments.key, "--key")
    logs.configure("info", form="auto")
    with WitnessState(arguments.state) as state:
        try:
            witness = Witness(signer, keys, state)
        except ValueError as error:
            raise StartupError(f"--key {arguments.key}: {error}.") from None
        mirrors = Mirrors(witness, arguments.log_dir, keys) if arguments.log_dir else None
        application = WitnessApplication(witness, mirrors)
        asyncio.run(_serve(application, witness, config))
    return 0


def _config(arguments: argparse.Namespace) -> Config:
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


async def _serve(application: WitnessApplication, witness: Witness, config: Config) -> None:
    encryption = build_encryption(config, Metrics())
    with listening(config.host, config.port) as listeners:
        server = build_server(application, config, problem=_problem, tls=encryption.context)
        stop = heed_signals(encryption.reload)
        serving = asyncio.create_task(server.serve(sockets=listeners))
        stopping = asyncio.create_task(stop.wait())
        log.info(
            "witnessing",
            extra={
                "url": url_of(config.host, listeners, encryption.names),
                "witness": witness.verifier.name,
                "logs": ", ".join(witness.origins),
            },
        )
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.stop()
        await serving


def _problem(error: RequestError) -> bytes:
    return f"{error.message}\n".encode()
