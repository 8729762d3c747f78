"""The alerts file: what it may say, and that each mistake is named with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.alerts.alerts_file import channels_of, load
from tests.serve.governance.alerts.receivers import named_certificate

WEBHOOK = """
[webhook]
url = "https://hooks.example.org/in"
address = "10.0.0.7"
secret_file = "secret"
ca_file = "certificate.pem"
"""
MAIL = """
[mail]
relay = "127.0.0.1:25"
from = "intramural@example.org"
to = ["ops@example.org"]
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    named_certificate(tmp_path)
    (tmp_path / "secret").write_text("s" * 32 + "\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "alerts.toml"
    path.write_text(text)
    return path


def opened(folder: Path, text: str):
    path = written(folder, "thresholds = [50, 80, 100]\n" + text)
    return channels_of(path, load(path))


def test_both_ways(folder):
    file = load(written(folder, "thresholds = [80, 100]\n" + WEBHOOK + MAIL))
    assert file.thresholds == [80, 100]
    assert file.channels == ("webhook", "mail")
    assert set(opened(folder, WEBHOOK + MAIL)) == {"webhook", "mail"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "thresholds: it is needed and missing"),
        ("thresholds = [80]", "no [webhook] and no [mail]"),
        ("thresholds = []" + MAIL, "thresholds"),
        ("thresholds = [0]" + MAIL, "thresholds.0"),
        ("thresholds = [80.5]" + MAIL, "thresholds.0"),
        ("thresholds = ['80']" + MAIL, "thresholds.0"),
        ("threshold = [80]" + MAIL, "threshold: there is no such key. Did you mean thr"),
        ("thresholds = [80]\n[webhok]\nurl = 'x'", "webhok"),
        ("thresholds = [80]" + WEBHOOK + "ca_fil = 'x'", "webhook.ca_fil"),
        ("thresholds = [80]" + MAIL + "timeout_s = 61", "mail.timeout_s"),
        ("thresholds = [80", "is no TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(folder, text, told):
    path = written(folder, text)
    with pytest.raises(StartupError) as caught:
        load(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(folder):
    with pytest.raises(StartupError, match="is not there"):
        load(folder / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://hooks", r"http://a\\@hooks", "webhook.url: an address such as"),
        ("https://", "http://", "webhook.url is not https"),
        ("example.org/in", "example.org:8443/in", "say so with port = 8443"),
        ("10.0.0.7", "169.254.169.254", "webhook.address: what it pins is never reached"),
        ("10.0.0.7", "0.0.0.0/0", "webhook.address: it has 4294967296 addresses"),
        ("10.0.0.7", "hooks.example.org", "webhook.address: an address (10.0.0.7)"),
        ("certificate.pem", "key.pem", "webhook.ca_file"),
        ("certificate.pem", "none.pem", "webhook.ca_file"),
        ('"secret"', '"none"', "webhook.secret_file"),
        ('"secret"', '"certificate.pem"', "group or others may use it"),
        ("127.0.0.1:25", "127.0.0.1", "mail.relay: a host and a port"),
        ("127.0.0.1:25", "127.0.0.1:65536", "mail.relay: a host and a port"),
        ("127.0.0.1:25", "relay.example.org:25", "mail.address: an address (10.0.0.7)"),
        ("127.0.0.1:25", "8.8.8.8:25", "mail.relay is 8.8.8.8/32, which is not private"),
        ("ops@example.org", "ops@example.org>\\r\\nRCPT TO:<x@y", "is not a plain mail address"),
        ("intramural@", "", "is not a plain mail address"),
    ],
)
def test_what_cannot_be_used_is_named(folder, old, new, told):
    (folder / "certificate.pem").chmod(0o644)
    text = (WEBHOOK + MAIL).replace(old, new)
    assert text != WEBHOOK + MAIL
    with pytest.raises(StartupError) as caught:
        opened(folder, text)
    assert told in str(caught.value)


def test_a_port_of_its_own_is_said_twice(folder):
    text = WEBHOOK.replace("example.org/in", "example.org:8443/in") + "port = 8443\n"
    assert opened(folder, text)["webhook"]._http.target.port == 8443  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "is_allowed"), [("127.0.0.1", True), ("10.0.0.7", False), ("127.0.0.1", False)]
)
def test_plain_http_is_for_this_machine_where_it_is_allowed(folder, address, is_allowed):
    text = WEBHOOK.replace("https://", "http://").replace("10.0.0.7", address)
    text += "allow_http = true\n" if is_allowed or address != "127.0.0.1" else ""
    if is_allowed:
        assert "webhook" in opened(folder, text)
        return
    with pytest.raises(StartupError, match="is not https"):
        opened(folder, text)


def test_a_short_secret_is_none(folder):
    (folder / "secret").write_text("changeme")
    with pytest.raises(StartupError, match="has 8 bytes: at least 32"):
        opened(folder, WEBHOOK)


def test_a_relay_with_a_name_is_pinned(folder):
    text = MAIL.replace("127.0.0.1:25", "relay.example.org:25") + 'address = "10.0.0.25"\n'
    assert "mail" in opened(folder, text)
