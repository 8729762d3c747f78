"""Errors that are the load generator's own: its machine's, not the server's.

Who counts them as the server's measures the wrong thing: a client without sockets left sees no
server at all. A run that has one says that its figures are not to be trusted.
"""

from __future__ import annotations

import errno
import socket
import ssl

_ADVICE = {
    errno.EMFILE: "this process has no file left: raise ulimit -n",
    errno.ENFILE: "this machine has no file left",
    errno.ENOMEM: "this machine has no memory left",
    errno.ENOBUFS: "this machine has no buffer left",
    errno.EADDRNOTAVAIL: "this machine has no port left: wait a minute, or widen "
    "net.ipv4.ip_local_port_range",
    errno.EACCES: "this machine does not let the load generator connect",
    errno.EPERM: "this machine does not let the load generator connect",
    errno.ENETUNREACH: "this machine has no way there",
}


def words(error: OSError) -> str | None:
    """Words for what is wrong on this side; None where the server or its network is at fault."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "its certificate is not trusted here: name the authority in SSL_CERT_FILE "
            f"({error.verify_message})"
        )
    if isinstance(error, socket.gaierror):
        return f"the name of the host is not known here: {error.strerror}"
    advice = _ADVICE.get(error.errno or 0)
    return None if advice is None else f"{advice} ({error.strerror})"
