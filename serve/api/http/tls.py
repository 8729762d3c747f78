"""The server's TLS: versions and ciphers, and a certificate that is exchanged while it serves.

Each new connection gets the context that is in force when it begins (``FollowingContext``); those
that run keep theirs. So an exchange is one assignment, and no request can meet a certificate
without its key. The tickets of sessions are a context's own: after an exchange nobody resumes one
that an authority of before vouched for.

TLS 1.2 and 1.3, forward secrecy and authenticated encryption alone: Mozilla's "intermediate" list
without finite-field Diffie-Hellman.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from serve import timeline
from serve.api.http.certificate_files import (
    CertificateFiles,
    ServerCertificate,
    read_certificate,
)
from serve.errors import StartupError

log = logging.getLogger(__name__)

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2. Those of 1.3 are all good, and OpenSSL's to choose."""
PROTOCOLS: Final = ("http/1.1",)
LOOK_INTERVAL_S: Final = 1.0
RETRY_INTERVAL_S: Final = 60.0
"""After files that could not be used and have not changed: they may be valid by then."""
SOON: Final = timedelta(days=14)
SOON_SHARE: Final = 5
"""It ends soon in its last two weeks, or in the last fifth of a shorter life."""
_MOST_READS: Final = 3


def server_context(
    files: CertificateFiles, mode: ssl.VerifyMode, now: datetime
) -> tuple[CountedContext, ServerCertificate]:
    """A context that serves what the files hold now.

    Args:
        mode: whether clients show a certificate.
        now: with a time zone.

    Raises:
        StartupError: as ``read_certificate``; or OpenSSL refuses them, such as for a weak key.
    """
    for _ in range(_MOST_READS):
        before = files.signature()
        certificate = read_certificate(files, now)
        context = _context(files, certificate, mode)
        if files.signature() == before:
            return context, certificate
    raise StartupError(f"TLS certificate {files.certificate} changes again and again.")


class Handshakes:
    """Handshakes that were refused: another protocol, no common version, no good certificate.

    They are counted and not logged: whoever reaches the port can make as many as they like.
    """

    def __init__(self) -> None:
        self.num_refused = 0

    def refused(self, error: ssl.SSLError) -> None:
        self.num_refused += 1
        log.debug("a TLS handshake was refused", extra={"reason": error.reason})


class CountedObject(ssl.SSLObject):
    """The TLS of one connection, which tells of a refused handshake."""

    def do_handshake(self) -> None:
        """A step of it. Raises as ``ssl.SSLObject``'s does."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, CountedContext):
                self.context.handshakes.refused(error)
            raise


class CountedContext(ssl.SSLContext):
    """A context whose handshakes are counted."""

    sslobject_class = CountedObject
    handshakes: Handshakes


def _context(
    files: CertificateFiles, certificate: ServerCertificate, mode: ssl.VerifyMode
) -> CountedContext:
    context = CountedContext(ssl.PROTOCOL_TLS_SERVER)
    context.handshakes = Handshakes()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(list(PROTOCOLS))
    try:
        # An empty password instead of none: with none OpenSSL would ask the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
        if certificate.authorities is not None:
            context.load_verify_locations(cadata=certificate.authorities)
            # What the file names is trusted, be it a root or the one authority below it.
            context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
            context.verify_mode = mode
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "no reason given"
        raise StartupError(
            f"TLS certificate {files.certificate} and key {files.key} are refused by OpenSSL: "
            f"{reason.lower().replace('_', ' ')}."
        ) from None
    return context


class TlsFiles:
    """The context of certificate files, which follows their changes.

    A change is noticed by the first connection after it, at most a second late. New files that
    cannot be used are logged as an error, and what was in force stays.

    Raises:
        StartupError: the files cannot be used at the start.
    """

    def __init__(
        self,
        files: CertificateFiles,
        mode: ssl.VerifyMode = ssl.VerifyMode.CERT_NONE,
        *,
        clock: Callable[[], float] = timeline.now,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._files, self._mode = files, mode
        self._clock, self._wall_clock = clock, wall_clock
        self._signature = files.signature()
        self._context, self._certificate = server_context(files, mode, wall_clock())
        self._handshakes = self._context.handshakes
        self._look_at = clock() + LOOK_INTERVAL_S
        self._retry_at = 0.0
        self._fault = ""
        self._told = ""
        self._tell_of_the_end()

    @property
    def is_in_force(self) -> bool:
        """Whether the newest files are those in force, at the last look at them."""
        self._follow()
        return not self._fault

    @property
    def not_after(self) -> float:
        """The end of the certificate in force, in Unix time."""
        self._follow()
        return self._certificate.not_after.timestamp()

    @property
    def not_before(self) -> float:
        """The beginning of that certificate, in Unix time."""
        return self._certificate.not_before.timestamp()

    @property
    def num_refused(self) -> int:
        """Handshakes that were refused since the start."""
        return self._handshakes.num_refused

    @property
    def names(self) -> tuple[str, ...]:
        """The names and addresses of the certificate in force."""
        return self._certificate.names

    def context(self) -> ssl.SSLContext:
        """The context for a connection that begins now."""
        self._follow()
        return self._context

    def reload(self) -> None:
        """Read the files at once, changed or not."""
        self._signature = self._files.signature()
        self._look_at = self._clock() + LOOK_INTERVAL_S
        self._retry_at = self._clock() + RETRY_INTERVAL_S
        try:
            found = server_context(self._files, self._mode, self._wall_clock())
        except StartupError as error:
            if str(error) != self._fault:
                log.error("TLS files not reloaded, those known stay in force: %s", error)  # noqa: TRY400
            self._fault = str(error)
            return
        self._context, self._certificate = found
        self._context.handshakes = self._handshakes
        self._fault = self._told = ""
        log.info("TLS files reloaded", extra={"not_after": found[1].not_after.isoformat()})
        self._tell_of_the_end()

    def _follow(self) -> None:
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_INTERVAL_S
        should_retry = bool(self._fault) and now >= self._retry_at
        if should_retry or self._files.signature() != self._signature:
            self.reload()
        self._tell_of_the_end()

    def _tell_of_the_end(self) -> None:
        """Say once of a certificate that it ends soon, and once that it has ended."""
        standing = end_of(self._certificate, self._wall_clock())
        if standing == self._told:
            return
        self._told = standing
        end = {"not_after": self._certificate.not_after.isoformat()}
        if standing == "soon":
            log.warning("the TLS certificate ends soon", extra=end)
        elif standing == "ended":
            log.error("the TLS certificate has ended: clients refuse it", extra=end)


def end_of(certificate: ServerCertificate, now: datetime) -> str:
    """``ended``, ``soon``, or empty where the end of the certificate is far."""
    end = certificate.not_after
    if now >= end:
        return "ended"
    return "soon" if end - now < min(SOON, (end - certificate.not_before) / SOON_SHARE) else ""


class FollowingContext(ssl.SSLContext):
    """A context that leaves each new connection to the one in force.

    Event loops ask a context for nothing but ``wrap_bio``; its own settings are never used.
    """

    _files: TlsFiles

    @classmethod
    def of(cls, files: TlsFiles) -> Self:
        """The context of files that are followed."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._files = files
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """The TLS of one connection, by the certificate that is in force now."""
        context = self._files.context()
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)
