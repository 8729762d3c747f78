"""The server's certificate: whether it can be served, and for how long."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

from serve.api.http.certificate_files import CertificateFiles
from serve.api.http.tls import end_of, server_context
from serve.config import Config
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.errors import StartupError
from serve.governance.identity.client_map import read_map


def certificates(machine: Machine) -> Finding:
    """Do certificate, key, clients' authorities and their map go together, today and next week?"""
    config = machine.config
    files = CertificateFiles.of(config)
    if files is None:
        if config.behind_proxy:
            return skipped("Plain HTTP: something in front does TLS (--behind-proxy).")
        return skipped("There is no certificate: the server speaks plain HTTP, on loopback only.")
    now = datetime.now(UTC)
    try:
        mode = ssl.VerifyMode(config.client_certificate_mode)
        _, certificate = server_context(files, mode, now)
        clients = _clients(config)
    except StartupError as error:
        summary, _, advice = str(error).partition(". ")
        advice = advice or "docs/tls.md says what each file holds."
        return failure(f"{summary.removesuffix('.')}.", advice)
    names = ", ".join(certificate.names) or "no name that clients check"
    days = (certificate.not_after - now).days
    summary = f"For {names}; it ends in {days} days, on {certificate.not_after:%Y-%m-%d}{clients}."
    if not certificate.names:
        return warning(summary, "Clients refuse it: it needs a subjectAltName.")
    if end_of(certificate, now):
        return warning(summary, "Put a new one in its place: a running server takes it by itself.")
    return ok(summary)


def _clients(config: Config) -> str:
    """A clause on the clients that are known by certificate. Raises StartupError."""
    if config.client_cert_map is None:
        return ""
    return f"; {len(read_map(config.client_cert_map))} clients are known by their certificate"
