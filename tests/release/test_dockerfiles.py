from __future__ import annotations

import http.server
import os
import ssl
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from tests.certificates import Authority
from tests.house.tree import ROOT
from tests.release.dockerfile_rules import RULES, Dockerfile, breaches, health_command

NAMES = ("Dockerfile.cpu", "Dockerfile.gpu")
HADOLINT = Path(sys.prefix) / "bin" / "hadolint"


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    words = [HADOLINT, "--config", ROOT / ".hadolint.yaml", *paths]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_ours_break_no_rule(name):
    assert list(breaches(text_of(name))) == []


def test_ours_lint_clean():
    result = lint(*(ROOT / name for name in NAMES))
    assert (result.returncode, result.stdout) == (0, "")


def test_the_linter_lints(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp\n")
    result = lint(tmp_path / "Dockerfile")
    assert result.returncode == 1
    assert "DL3006" in result.stdout


BREACHES = [
    ("base", "FROM ${BASE}\n", "FROM debian:12\n"),
    ("base", "*@sha256:*) ;;", "*) ;;"),
    ("tag", "FROM ${BASE}\n", "FROM ${BASE}\nLABEL x=debian:latest\n"),
    ("user", "USER 10001:10001", "USER intramural"),
    ("user", "USER 10001:10001", "USER 0"),
    ("user", "EXPOSE", "USER root\nEXPOSE"),
    ("add", "WORKDIR", "ADD x.tar /\nWORKDIR"),
    ("fetch", "WORKDIR", "RUN curl --output x.sh 127.0.0.1\nWORKDIR"),
    ("fetch", "WORKDIR", "RUN cat x | sh\nWORKDIR"),
    ("address", "WORKDIR", "ENV X=https://example.com\nWORKDIR"),
    ("pip", "--require-hashes ", ""),
    ("pip", "--no-index ", ""),
    ("pip", "--no-deps --require-hashes", "--require-hashes"),
    ("apt", "--no-install-recommends ", ""),
    ("apt", "rm -rf /var/lib/apt/lists/*", "true"),
    ("health", "HEALTHCHECK", "# HEALTHCHECK"),
    ("health", "'/livez'", "'/'"),
    ("environment", "PYTHONSAFEPATH=1", "PYTHONSAFEPATH=0"),
    ("environment", "    HF_HUB_OFFLINE=1 \\\n", ""),
    ("environment", "VLLM_NO_USAGE_STATS=1", "VLLM_NO_USAGE_STATS=0"),
    ("secret", "WORKDIR", "ENV HF_TOKEN=x\nWORKDIR"),
    ("secret", "WORKDIR", "ARG INDEX=h://me:word@host\nWORKDIR"),
    ("entry", 'ENTRYPOINT ["/opt/intramural/bin/python", "-m", "serve"]', 'ENTRYPOINT ["sh"]'),
    ("entry", "EXPOSE 8000", "EXPOSE 80"),
    ("labels", "org.opencontainers.image.base.name", "x"),
    ("root", "chmod a-s", "chmod a+r"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rule", "old", "new"), BREACHES)
def test_each_planted_breach_is_found(name, rule, old, new):
    text = text_of(name)
    assert old in text
    assert list(breaches(text.replace(old, new))) == [rule]


def test_every_rule_was_seen_to_fail():
    assert {rule for rule, _, _ in BREACHES} == {rule.__name__ for rule in RULES}


def test_both_set_the_same_but_for_what_gpus_need():
    cpu, gpu = (Dockerfile(text_of(name)).environment for name in NAMES)
    assert cpu.items() <= gpu.items()
    assert gpu["FLASHINFER_NO_DOWNLOAD"] == "1"
    assert all(
        name.startswith(("FLASHINFER_", "VLLM_", "CUDA_", "NVIDIA_")) for name in gpu - cpu.keys()
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_package_goes_in_and_nothing_else(name):
    """Both files copy, and .dockerignore lets through, what pyproject.toml lists."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    tops = {one.partition(".")[0] for one in listed["tool"]["setuptools"]["packages"]}
    wanted = tops | {"pyproject.toml", "setup.py", "README.md", "LICENSE"}
    copied = {
        word for value in Dockerfile(text_of(name)).values("COPY") for word in value.split()[:-1]
    }
    assert copied == wanted
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line[:1] == "!"} == wanted | {"requirements/*.lock"}


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_server(status, code):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert check_health(server.server_port) == code
        thread.join()


def test_the_health_check_of_a_server_that_is_not_there():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    assert check_health(port) == 1


def test_the_health_check_of_a_server_with_tls(tmp_path):
    """Its certificate is for another name, and of an authority that nobody knows."""
    issued = Authority(tmp_path).issue(names=[x509.DNSName("llm.corp.example")])

    class Alive(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.chain, issued.secret)
    with http.server.HTTPServer(("127.0.0.1", 0), Alive) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert check_health(server.server_port, INTRAMURAL_SSL_CERTFILE="/tls/tls.crt") == 0
        thread.join()


def check_health(port: int, **more: str) -> int:
    _, *words = health_command(Dockerfile(text_of(NAMES[0])))
    environment = os.environ | {"INTRAMURAL_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    environment |= more
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, check=False
    ).returncode
