"""TLS from the settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from serve.composition.tls import build_encryption
from serve.config import Config
from serve.errors import StartupError
from serve.governance.identity.authenticators import ApiKeys, Loopback
from serve.governance.identity.client_certificates import CertificatesInTime, ClientCertificates
from serve.observe.metrics import Metrics
from tests.certificates import Authority


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    authority = Authority(tmp_path)
    issued = authority.issue()
    path = tmp_path / "clients.toml"
    path.write_text("")
    path.chmod(0o600)
    return {
        "ssl_certfile": issued.chain,
        "ssl_keyfile": issued.secret,
        "ssl_ca_certs": authority.file,
        "client_cert_map": path,
    }


def test_without_a_certificate_nothing_changes() -> None:
    encryption = build_encryption(Config(), Metrics())
    assert (encryption.context, encryption.names) == (None, None)
    (loopback,) = encryption.authenticators((Loopback(),))
    assert isinstance(loopback, Loopback)
    encryption.reload()


def test_where_there_is_a_map_nobody_gets_in_by_a_loopback_name(settings: dict[str, Any]) -> None:
    encryption = build_encryption(Config(**settings), Metrics())
    assert [type(each) for each in encryption.authenticators((Loopback(),))] == [ClientCertificates]
    keys = ApiKeys(None)  # type: ignore[arg-type]
    assert [type(each) for each in encryption.authenticators((keys,))] == [
        ClientCertificates,
        ApiKeys,
    ]
    unmapped = build_encryption(Config(**settings | {"client_cert_map": None}), Metrics())
    assert [type(each) for each in unmapped.authenticators((keys,))] == [
        CertificatesInTime,
        ApiKeys,
    ]


@pytest.mark.parametrize(
    ("reqs", "mode"), [(None, ssl.CERT_REQUIRED), (1, ssl.CERT_OPTIONAL), (2, ssl.CERT_REQUIRED)]
)
def test_clients_must_show_a_certificate_unless_told_otherwise(
    settings: dict[str, Any], reqs: int | None, mode: ssl.VerifyMode
) -> None:
    encryption = build_encryption(Config(**settings, ssl_cert_reqs=reqs), Metrics())
    assert encryption.files is not None
    assert encryption.files.context().verify_mode is mode
    without = {name: settings[name] for name in ("ssl_certfile", "ssl_keyfile")}
    plain = build_encryption(Config(**without), Metrics()).files
    assert plain is not None
    assert plain.context().verify_mode is ssl.CERT_NONE


def test_any_file_that_cannot_be_used_ends_the_start_and_later_is_a_metric(
    settings: dict[str, Any],
) -> None:
    metrics = Metrics()
    encryption = build_encryption(Config(**settings), metrics)
    for name in ("ssl_certfile", "ssl_keyfile", "ssl_ca_certs", "client_cert_map"):
        whole = settings[name].read_bytes()
        settings[name].write_bytes(b"[[")
        encryption.reload()
        assert b"intramural_tls_files_usable 0.0" in metrics.render()[0], name
        with pytest.raises(StartupError):
            build_encryption(Config(**settings), Metrics())
        settings[name].write_bytes(whole)
        encryption.reload()
        assert b"intramural_tls_files_usable 1.0" in metrics.render()[0], name
