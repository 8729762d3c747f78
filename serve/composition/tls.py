"""TLS and callers known by certificate, from the settings."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from serve.api.http.certificate_files import CertificateFiles
from serve.api.http.tls import FollowingContext, TlsFiles
from serve.config import Config
from serve.governance.identity.authenticators import Authenticator, Loopback
from serve.governance.identity.client_certificates import CertificatesInTime, ClientCertificates
from serve.governance.identity.client_map import ClientMap
from serve.observe.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Encryption:
    """TLS as the settings have it; a server without has neither part.

    Attributes:
        files: the server's certificate.
        clients: whose certificate is whose.
    """

    files: TlsFiles | None = None
    clients: ClientMap | None = None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The context to listen with; None for plain HTTP."""
        return None if self.files is None else FollowingContext.of(self.files)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the server's certificate; None for plain HTTP."""
        return None if self.files is None else self.files.names

    def authenticators(self, others: Sequence[Authenticator]) -> tuple[Authenticator, ...]:
        """The chain, with certificates before ``others`` where there is a map of them.

        Nobody is then let in for asking by a loopback name.
        """
        if self.files is None:
            return tuple(others)
        if self.clients is None:
            return (CertificatesInTime(), *others)
        beside = tuple(other for other in others if not isinstance(other, Loopback))
        return (ClientCertificates(self.clients, beside), *beside)

    def reload(self) -> None:
        """Read all files at once, changed or not."""
        for part in (self.files, self.clients):
            if part is not None:
                part.reload()

    def is_in_force(self) -> bool:
        """Whether the newest of all files are those in force."""
        parts = [part for part in (self.files, self.clients) if part is not None]
        return all(part.is_in_force for part in parts)


def build_encryption(config: Config, metrics: Metrics) -> Encryption:
    """TLS as the settings have it, drawn in the metrics.

    Raises:
        StartupError: a file cannot be used.
    """
    files = CertificateFiles.of(config)
    if files is None:
        return Encryption()
    mode = ssl.VerifyMode(config.client_certificate_mode)
    followed = TlsFiles(files, mode)
    served = frozenset((*config.model_names, *config.adapters))
    clients = ClientMap(config.client_cert_map, models=served) if config.client_cert_map else None
    built = Encryption(followed, clients)
    metrics.attach_tls(
        built.is_in_force,
        life=lambda: (followed.not_before, followed.not_after),
        num_refused=lambda: followed.num_refused,
    )
    return built
