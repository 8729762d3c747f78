"""TLS: the server's certificate, clients' certificates, and what stands in front."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class TlsSection(BaseModel):
    """Settings of encryption, and of callers that are known by a certificate."""

    ssl_certfile: Path | None = Field(
        None,
        description="File of the server's certificate in PEM, followed by its authorities' except "
        "the root. The server then speaks HTTPS only. It is read again when it changes.",
    )
    ssl_keyfile: Path | None = Field(
        None,
        description="File of the certificate's private key in PEM, not encrypted, closed to "
        "others (mode 0600).",
    )
    ssl_ca_certs: Path | None = Field(
        None,
        description="File of the authorities, in PEM, that sign clients' certificates (mTLS). It "
        "is read again when it changes.",
    )
    ssl_cert_reqs: int | None = Field(
        None,
        ge=0,
        le=2,
        description="Whether clients show a certificate, by vLLM's and Python's numbers: 0 none "
        "is asked for, 1 they may, 2 they must, probes and scrapes too. Default: 2 with "
        "--ssl-ca-certs, else 0.",
    )
    client_cert_map: Path | None = Field(
        None,
        description="TOML file that says which certificate is whose: tenant, scopes, models "
        "(docs/tls.md). A certificate that is not in it is refused. It is read again when it "
        "changes.",
    )
    behind_proxy: bool = Field(
        False,
        description="Plain HTTP is spoken beyond loopback, because something in front (a proxy, "
        "an ingress, a mesh) does TLS, and nobody else reaches this address.",
    )
