"""Certificates that the environment names: looked at before OpenSSL opens whatever it is."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi
import pytest

from models import tls
from models.errors import CertificatesError


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that SSL_CERT_FILE names, not there yet."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def test_the_systems_authorities_and_those_of_a_file_are_trusted(named: Path) -> None:
    named.symlink_to(certifi.where())
    context = tls.client_context("https://host")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs()


def refused() -> str:
    with pytest.raises(CertificatesError) as told:
        tls.client_context("https://host")
    return str(told.value)


def test_what_is_no_file_of_certificates_is_named_and_not_waited_for(named: Path) -> None:
    assert "ca.pem, which cannot be read: No such file" in refused()
    os.mkfifo(named)
    assert "is not a plain file but a pipe. Name a file of certificates" in refused()
    named.unlink()
    named.symlink_to("/dev/zero")
    assert "a device" in refused()
    named.unlink()
    named.write_text("hello")
    assert "holds no certificate" in refused()
    named.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "a certificate is damaged" in refused()


def test_of_several_folders_one_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}/absent:{tmp_path}/none")
    assert "SSL_CERT_DIR names" in refused()
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}/absent:{tmp_path}")
    tls.check_certificates()


def test_an_address_without_tls_needs_no_certificates(named: Path) -> None:
    os.mkfifo(named)
    context = tls.client_context("http://host")
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []
