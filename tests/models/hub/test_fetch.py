"""What the Hub's client believes, told in our words; tokens go where they belong and no further."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest
from huggingface_hub.utils import close_session

from models.errors import CertificatesError, OriginError, TransientOriginError
from models.hub.fetch import HubOrigin
from models.hub.origins import OriginFile
from models.refs import ModelRef
from tests.certificates import server_context
from tests.hub.emulator import Hub
from tests.hub.proxy import Proxy
from tests.hub.pulls import REPO, closed_address

FILES = {"config.json": b'{"a": 1}', "model.safetensors": b"weights"}
REF = ModelRef(repo=REPO)
VARIABLES = (
    *("HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    *("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
)


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with Hub() as started:
        started.add(REPO, FILES)
        started.add("acme/gated", FILES, gated=True)
        yield started


def read(origin: HubOrigin, ref: ModelRef, path: str, offset: int = 0) -> bytes:
    listing = origin.listing(ref)
    (file,) = (file for file in listing.files if file.path == path)
    with origin.open(listing.ref, file, offset) as (begin, chunks):
        assert begin == offset
        return b"".join(chunks)


def test_a_listing_has_the_commit_the_licence_and_the_hub_s_hashes(hub):
    listing = HubOrigin(endpoint=hub.url + "/", token=False).listing(REF)
    commit = hub.repos[REPO].branches["main"]
    assert listing.ref == ModelRef(repo=REPO, revision=commit)
    assert listing.licence == "apache-2.0"
    blobs = hub.repos[REPO].commits[commit]
    plain, lfs = blobs["config.json"], blobs["model.safetensors"]
    assert listing.files == (
        OriginFile(path="config.json", size=8, git_blob=plain.git_id),
        OriginFile(path="model.safetensors", size=7, sha256=lfs.sha256),
    )


def test_a_mirror_that_lists_no_hashes_is_asked_for_each_file(hub, monkeypatch):
    origin = HubOrigin(endpoint=hub.url, token=False)
    whole = origin.listing(REF)
    monkeypatch.setattr(hub, "lists_hashes", False)
    plain, weights = origin.listing(REF).files
    known, same = whole.files
    assert weights == same
    assert (plain.path, plain.size, plain.sha1) == (known.path, known.size, known.git_blob)


@pytest.mark.parametrize("tells_git", [True, False])
def test_a_proxy_that_answers_head_with_no_length_is_asked_for_the_file(
    hub, monkeypatch, tells_git
):
    whole = HubOrigin(endpoint=hub.url, token=False).listing(REF)
    monkeypatch.setattr(hub, "lists_hashes", False)
    monkeypatch.setattr(hub, "says_heads", False)
    monkeypatch.setattr(hub, "tells_git", tells_git)
    listed = HubOrigin(endpoint=hub.url, token=False).listing(REF)
    assert [file.size for file in listed.files] == [file.size for file in whole.files]


def test_who_said_and_who_sent_are_told_apart(hub):
    origin = HubOrigin(endpoint=hub.url, token=False)
    (file,) = [file for file in origin.listing(REF).files if file.path == "config.json"]
    said_by = hub.url.removeprefix("http://")
    assert origin.parties(file) == (said_by, said_by)
    with origin.open(origin.listing(REF).ref, file, 0) as (_, chunks):
        list(chunks)
    assert origin.parties(file) == (said_by, "127.0.0.1")


def test_nothing_but_what_is_needed_is_asked_or_told(hub):
    read(HubOrigin(endpoint=hub.url, token=False), REF, "model.safetensors")
    assert len(hub.seen) == 3  # the listing, the redirect, the CDN
    for seen in hub.seen:
        assert "torch" not in seen.headers["user-agent"]
        assert "agent/" not in seen.headers["user-agent"].replace("user-agent/", "")
        assert "cookie" not in seen.headers


def test_a_token_goes_to_the_endpoint_and_not_to_the_cdn(hub):
    origin = HubOrigin(endpoint=hub.url, token="hf_let_in")
    assert read(origin, ModelRef(repo="acme/gated"), "model.safetensors") == b"weights"
    for seen in hub.seen:
        assert seen.headers.get("authorization") == (None if seen.is_cdn else "Bearer hf_let_in")


def test_a_token_from_the_environment(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_let_in")
    origin = HubOrigin(endpoint=hub.url)
    assert read(origin, ModelRef(repo="acme/gated"), "config.json") == FILES["config.json"]
    assert not HubOrigin(endpoint=hub.url, token=False).has_token


def test_a_token_from_the_file_that_logging_in_writes(hub, monkeypatch, tmp_path):
    (tmp_path / "token").write_text("hf_let_in\n")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    origin = HubOrigin(endpoint=hub.url)
    assert read(origin, ModelRef(repo="acme/gated"), "config.json") == FILES["config.json"]


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (False, ("licence must be accepted", "/acme/gated", "HF_TOKEN", "--token-file")),
        ("hf_other", ("is not let in", "/acme/gated")),
    ],
)
def test_a_gated_repository_says_what_to_do(hub, token, says):
    origin = HubOrigin(endpoint=hub.url, token=token)
    with pytest.raises(OriginError) as error:
        read(origin, ModelRef(repo="acme/gated"), "config.json")
    assert all(text in str(error.value) for text in says)
    assert "hf_other" not in str(error.value)


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        (ModelRef(repo="Qwen/Qwen2-7B-Instrukt"), "no repository.*Did you mean qwen2-7b"),
        (ModelRef(repo="acme/none"), "no repository acme/none.*without a token"),
        (ModelRef(repo=REPO, revision="v9"), "no revision 'v9'"),
    ],
)
def test_what_is_not_there(hub, ref, says):
    with pytest.raises(OriginError, match=says) as error:
        HubOrigin(endpoint=hub.url, token=False).listing(ref)
    assert not isinstance(error.value, TransientOriginError)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass(hub, status):
    hub.fault("revision/main", status=status, retry_after="7")
    with pytest.raises(TransientOriginError, match=f"answers {status}") as error:
        HubOrigin(endpoint=hub.url, token=False).listing(REF)
    assert error.value.retry_after_s == 7


def test_the_hub_s_own_way_to_ask_for_a_pause(hub):
    limit = {"RateLimit": '"api";r=0;t=41', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    hub.fault("revision/main", status=429, headers=limit)
    with pytest.raises(TransientOriginError) as error:
        HubOrigin(endpoint=hub.url, token=False).listing(REF)
    assert error.value.retry_after_s == 42


def test_a_licence_with_a_name_of_its_own(hub):
    hub.repos[REPO].card = {"license": "other", "license_name": "acme-research"}
    assert HubOrigin(endpoint=hub.url, token=False).listing(REF).licence == "acme-research"


@pytest.mark.parametrize("card", ["text", ["mit"], 7])
def test_a_card_that_is_none_has_no_licence(hub, card):
    hub.repos[REPO].card = card
    assert HubOrigin(endpoint=hub.url, token=False).listing(REF).licence is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_will_not_pass(hub, status):
    hub.fault("revision/main", status=status)
    with pytest.raises(OriginError, match=str(status)) as error:
        HubOrigin(endpoint=hub.url, token=False).listing(REF)
    assert not isinstance(error.value, TransientOriginError)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"id": "x", "sha": "main"}'])
def test_an_answer_that_is_no_hub_s(hub, body):
    hub.fault("revision/main", status=200, body=body)
    with pytest.raises(OriginError, match="not as a hub does"):
        HubOrigin(endpoint=hub.url, token=False).listing(REF)


def test_nobody_there(hub):
    address = closed_address()
    with pytest.raises(TransientOriginError, match=f"{address} cannot be reached") as error:
        HubOrigin(endpoint=address, token=False).listing(REF)
    assert all(word in str(error.value) for word in ("HTTPS_PROXY", "SSL_CERT_FILE", "--from"))


def test_offline_is_offline(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OriginError, match="HF_HUB_OFFLINE is set"):
        HubOrigin(endpoint=hub.url, token=False).listing(REF)
    assert hub.seen == []


@pytest.mark.parametrize(
    ("endpoint", "token", "says"),
    [
        ("ftp://hub.example", False, "not the address of a hub"),
        ("hub.example", False, "not the address of a hub"),
        ("https://me:hunter2@hub.example", False, "not the address of a hub"),
        ("http://hub.example", "hf_secret", "unencrypted"),
    ],
)
def test_addresses_that_are_refused(endpoint, token, says):
    with pytest.raises(OriginError, match=says) as error:
        HubOrigin(endpoint=endpoint, token=token)
    assert "hunter2" not in str(error.value)
    assert "hf_secret" not in str(error.value)


def test_a_proxy_from_the_environment_gets_the_request(hub, monkeypatch):
    """The emulator plays the proxy, too: it sees the name of a host that does not exist."""
    close_session()  # the client reads the environment when its session begins
    monkeypatch.setenv("HTTP_PROXY", hub.url.replace("http://", "http://me:hunter2@"))
    monkeypatch.setenv("NO_PROXY", "")
    try:
        origin = HubOrigin(endpoint="http://hub.internal.example", token=False)
        assert origin.listing(REF).files
        (seen,) = hub.seen
        assert seen.headers["host"] == "hub.internal.example"
        expected = base64.b64encode(b"me:hunter2").decode()
        assert seen.headers["proxy-authorization"] == f"Basic {expected}"
        monkeypatch.setenv("HTTP_PROXY", closed_address().replace("http://", "http://me:hunter2@"))
        close_session()
        with pytest.raises(TransientOriginError) as error:
            origin.listing(REF)
        assert "hunter2" not in str(error.value)
    finally:
        close_session()


def test_hosts_that_are_reached_without_the_proxy(hub, monkeypatch):
    close_session()
    monkeypatch.setenv("HTTP_PROXY", closed_address())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        assert HubOrigin(endpoint=hub.url, token=False).listing(REF).files
    finally:
        close_session()


def test_a_proxy_that_tunnels_sees_neither_token_nor_bytes(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub(tls=server_context(tmp_path)) as hub, Proxy() as proxy:
        hub.add("acme/gated", FILES, gated=True)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        close_session()
        try:
            origin = HubOrigin(endpoint=hub.url, token="hf_let_in")
            assert read(origin, ModelRef(repo="acme/gated"), "model.safetensors") == b"weights"
        finally:
            close_session()
    basic = f"Basic {base64.b64encode(b'me:hunter2').decode()}"
    hosts = [url.removeprefix("https://") for url in (hub.url, hub.cdn_url)]
    assert proxy.tunnels == [(host, basic) for host in hosts]


def test_certificates_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub(tls=server_context(tmp_path)) as hub:
        hub.add(REPO, FILES)
        try:
            close_session()
            origin = HubOrigin(endpoint=hub.url, token="hf_let_in")
            with pytest.raises(TransientOriginError, match="CERTIFICATE_VERIFY_FAILED"):
                origin.listing(REF)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
            close_session()
            assert read(origin, REF, "model.safetensors") == b"weights"
        finally:
            close_session()


@pytest.mark.parametrize(
    ("put", "says"),
    [
        (os.mkfifo, "is not a plain file but a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a plain file but a device"),
        (lambda path: path.write_bytes(b"\xff"), "is not UTF-8 text"),
    ],
)
def test_a_token_file_that_is_none_is_named_and_not_waited_for(hub, tmp_path, put, says):
    put(tmp_path / "none")
    with pytest.raises(OriginError, match=f"none .HF_TOKEN_PATH. cannot be read: {says}"):
        HubOrigin(endpoint=hub.url)
    assert not HubOrigin(endpoint=hub.url, token=False).has_token
    assert HubOrigin(endpoint=hub.url, token="given").has_token


def test_the_null_device_is_no_token(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", os.devnull)
    assert not HubOrigin(endpoint=hub.url).has_token


def test_certificates_that_cannot_be_read_are_found_before_the_first_request(hub, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/zero")
    with pytest.raises(CertificatesError, match="SSL_CERT_FILE names /dev/zero"):
        HubOrigin(endpoint=hub.url, token=False)
