"""For each alert a fault: a generator that makes a healthy site, injects the fault, and ends it.

    site is healthy ── yield ── fault injected ── yield ── fault ended

A test advances it, and looks in between at what Prometheus says. The file has more than 400 lines:
it is a table, of a few lines for each alert.
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from serve.engine.vllm.processes import family
from tests.certificates import Authority, Issued
from tests.e2e.server import Server, engine_processes, free_port, wait_ready
from tests.house.tree import ROOT
from tests.monitoring.callers import BODY
from tests.monitoring.site import Site, kill, port_of, starved
from tests.monitoring.witness import refusing_witness, signing_witness, witnessed
from tests.servers.postgres import running_postgres
from tests.servers.redis import running_redis
from tests.tiny_models import write_tiny_model

Fault = Callable[[Site, Path], Iterator[None]]

FAULTS: dict[str, Fault] = {}
"""By the name of the alert that is to fire."""

LONG = BODY | {"max_tokens": 60}
TINY = {"model": "tiny", "prompt": "a", "max_tokens": 200, "ignore_eos": True}
VLLM = ("--engine", "vllm", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "8")
MAX_FILES = 100


def of(alert: str) -> Callable[[Fault], Fault]:
    """Register the fault that an alert is for."""

    def register(fault: Fault) -> Fault:
        FAULTS[alert] = fault
        return fault

    return register


@of("IntramuralDown")
def all_replicas_hang(site: Site, folder: Path) -> Iterator[None]:
    servers = [site.fake(), site.fake()]
    yield
    for server in servers:
        site.resumed_at_the_end(server.process.pid)
        server.process.send_signal(signal.SIGSTOP)
    yield
    servers[0].process.send_signal(signal.SIGCONT)


@of("IntramuralReplicaDown")
def one_replica_dies(site: Site, folder: Path) -> Iterator[None]:
    site.fake()
    server = site.fake()
    yield
    kill(server)
    yield
    site.fake(port=port_of(server))


@of("IntramuralNotReady")
def quantising_hangs(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    yield
    kill(server)
    port = port_of(server)
    arguments = ("--model", "demo", "--quant", "int4", "--data-dir", str(folder))
    started = site.start(*arguments, port=port, is_ready=False)
    pid = _child(started)
    site.resumed_at_the_end(pid)
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)
    wait_ready(started)


def _child(server: Server) -> int:
    """The process that quantises, once there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [
            each.pid for each in family([server.process.pid]) if each.pid != server.process.pid
        ]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no child process: {server.log.read_text()[-2000:]}")


@of("IntramuralRestarting")
def the_process_is_killed_twice(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    yield
    for _ in range(2):
        kill(server)
        server = site.fake(port=port_of(server))
        time.sleep(3)  # it is scraped before it dies again
    yield


def _vllm(site: Site, folder: Path) -> Server:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    model = write_tiny_model(folder / "tiny")
    server = site.start("--model", str(model), *VLLM, "--engine-stall-timeout", "600")
    site.ask(server, 4, body=TINY, route="/v1/completions")
    return server


@of("IntramuralEngineDied")
def the_engine_is_killed(site: Site, folder: Path) -> Iterator[None]:
    server = _vllm(site, folder)
    yield
    os.kill(engine_processes(server)[0].pid, signal.SIGKILL)
    yield


@of("IntramuralErrors")
def the_engine_is_killed_under_load(site: Site, folder: Path) -> Iterator[None]:
    server = _vllm(site, folder)
    yield
    os.kill(engine_processes(server)[0].pid, signal.SIGKILL)
    yield


@of("IntramuralEngineStalled")
def the_engine_hangs(site: Site, folder: Path) -> Iterator[None]:
    server = _vllm(site, folder)
    yield
    pid = engine_processes(server)[0].pid
    site.resumed_at_the_end(pid)
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@of("IntramuralQueueStanding")
def more_comes_than_is_computed(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake("--max-num-seqs", "1")
    site.ask(server)
    yield
    callers = site.ask(server, 6, body=LONG)
    yield
    callers.stop()


@of("IntramuralKvCacheFull")
def contexts_fill_the_cache(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake("--kv-cache-tokens", "512", "--fake-tokens-per-s", "1000")
    site.ask(server)
    yield
    callers = site.ask(server, 6, body=BODY | {"max_tokens": 512})
    yield
    callers.stop()


@of("IntramuralOverloaded")
def too_many_at_once(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake("--max-num-seqs", "1", "--max-num-queued-reqs", "1")
    site.ask(server)
    yield
    callers = site.ask(server, 6, body=LONG)
    yield
    assert callers.statuses[503], callers.statuses
    callers.stop()


@of("IntramuralFirstTokenSlow")
def first_tokens_wait_in_the_queue(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake("--max-num-seqs", "1", "--fake-tokens-per-s", "40")
    site.ask(server)
    yield
    callers = site.ask(server, 8)
    yield
    callers.stop()


@of("IntramuralTokensSlow")
def a_slow_engine_is_rolled_out_and_back(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    site.ask(server)
    port = port_of(server)
    yield
    kill(server)
    server = site.fake("--fake-tokens-per-s", "3", port=port)
    callers = site.ask(server, 3, body=BODY | {"max_tokens": 4})
    yield
    callers.stop()
    kill(server)
    site.fake(port=port)


@of("IntramuralServerSlow")
def the_process_gets_no_cpu(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    yield
    is_over = site.enter(starved(server.process.pid, stopped_s=2.2, running_s=0.002))
    yield
    is_over.set()


@of("IntramuralFileDescriptorsShort")
def connections_are_kept_open(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    pid = server.process.pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    yield
    connections = []
    while len(list(Path(f"/proc/{pid}/fd").iterdir())) < 0.9 * MAX_FILES:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server))
        connection.request("GET", "/livez")
        connection.getresponse().read()
        connections.append(connection)
    yield
    for connection in connections:
        connection.close()


@of("IntramuralKeyFileUnusable")
def the_key_file_is_broken(site: Site, folder: Path) -> Iterator[None]:
    site.fake()
    whole = site.key_file.read_text("utf-8")
    yield
    site.key_file.write_text(whole[:-20], "utf-8")
    yield
    site.key_file.write_text(whole, "utf-8")


def _limited(site: Site, folder: Path, *arguments: str) -> tuple[Server, Path]:
    """A server with a limit for each key, which is asked, and its limits file."""
    limits = folder / "limits.toml"
    limits.write_text(
        '[[limits]]\nname = "each key"\nkey = "*"\nconcurrent_requests = 9\n', "utf-8"
    )
    server = site.fake(
        "--limits-file", str(limits), "--state-dir", str(folder / "state"), *arguments
    )
    site.ask(server)
    return server, limits


def _url_file(folder: Path, url: str) -> str:
    path = folder / "url"
    path.write_text(url, "utf-8")
    path.chmod(0o600)
    return str(path)


@of("IntramuralLimitsFileUnusable")
def the_limits_file_is_broken(site: Site, folder: Path) -> Iterator[None]:
    _, limits = _limited(site, folder)
    whole = limits.read_text("utf-8")
    yield
    limits.write_text(whole.replace("key =", "kee ="), "utf-8")
    yield
    limits.write_text(whole, "utf-8")


@of("IntramuralLimitsNotShared")
def the_server_of_counters_is_stopped(site: Site, folder: Path) -> Iterator[None]:
    counters = site.enter(running_redis())
    _limited(site, folder, "--cache-url-file", _url_file(folder, counters.url))
    yield
    counters.stop()
    yield
    counters.start()


@of("IntramuralDatabaseAway")
def the_database_is_stopped(site: Site, folder: Path) -> Iterator[None]:
    database = site.enter(running_postgres())
    _limited(site, folder, "--database-url-file", _url_file(folder, database.make_database()))
    yield
    database.stop()
    yield
    database.start()


@of("IntramuralKeysRefused")
def a_program_goes_on_with_a_wrong_key(site: Site, folder: Path) -> Iterator[None]:
    server = site.fake()
    site.ask(server)
    yield
    callers = site.ask(server, 2, key=f"{site.key[:-1]}?")
    yield
    assert set(callers.statuses) == {401}
    callers.stop()


def with_tls(site: Site, folder: Path) -> tuple[Authority, tuple[str, str]]:
    """A server with a certificate for a year; its authority, and the names of its files."""
    authority = Authority(folder)
    issued = authority.issue()
    site.is_tls = True
    site.fake("--ssl-certfile", str(issued.chain), "--ssl-keyfile", str(issued.secret))
    return authority, (str(issued.chain), str(issued.secret))


def put(issued: Issued, names: tuple[str, str]) -> None:
    for source, name in zip((issued.chain, issued.secret), names, strict=True):
        Path(name).write_bytes(source.read_bytes())


@of("IntramuralCertificateEnded")
def a_certificate_ends(site: Site, folder: Path) -> Iterator[None]:
    authority, names = with_tls(site, folder)
    yield
    put(authority.issue(ends=timedelta(seconds=3)), names)
    yield
    put(authority.issue(), names)


@of("IntramuralCertificateEndsSoon")
def a_certificate_is_not_renewed(site: Site, folder: Path) -> Iterator[None]:
    authority, names = with_tls(site, folder)
    yield
    put(authority.issue(begins=timedelta(days=-80), ends=timedelta(days=13)), names)
    yield
    put(authority.issue(), names)


@of("IntramuralTlsFilesUnusable")
def certificate_and_key_are_no_pair(site: Site, folder: Path) -> Iterator[None]:
    authority, names = with_tls(site, folder)
    whole = Path(names[1]).read_bytes()
    yield
    Path(names[1]).write_bytes(authority.issue().secret.read_bytes())
    yield
    Path(names[1]).write_bytes(whole)


def _audited(site: Site, folder: Path, *arguments: str) -> Server:
    """A server with an audit log, which is asked."""
    server = site.fake("--audit-dir", str(folder / "audit"), *arguments)
    site.ask(server)
    return server


def _no_file_may_grow(server: Server, *, limit: int) -> None:
    """Let writes fail, as on a full disk: no file of the server may be larger (setrlimit(2))."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, hard))


@of("IntramuralAuditLogAway")
def the_disk_of_the_audit_log_is_full(site: Site, folder: Path) -> Iterator[None]:
    server = _audited(site, folder)
    yield
    _no_file_may_grow(server, limit=1)
    yield
    _no_file_may_grow(server, limit=resource.RLIM_INFINITY)


@of("IntramuralAuditWitnessRefuses")
def a_witness_refuses(site: Site, folder: Path) -> Iterator[None]:
    _audited(site, folder, *witnessed(folder, port := free_port()))
    with signing_witness(port, folder):
        yield
    with refusing_witness(port):
        yield


@of("IntramuralAuditNotCosigned")
def the_witness_is_away(site: Site, folder: Path) -> Iterator[None]:
    _audited(site, folder, *witnessed(folder, port := free_port()))
    for is_there in (True, False, True):
        with signing_witness(port, folder) if is_there else nullcontext():
            yield


@of("IntramuralRulesFileUnusable")
def the_masking_file_is_broken(site: Site, folder: Path) -> Iterator[None]:
    rules = folder / "masking.toml"
    for detectors in ("personal", "personel", "personal"):
        rules.write_text(f'[default]\nmask = ["{detectors}"]\n', "utf-8")
        if not site.ports:
            site.fake("--masking-file", str(rules))
        yield


_DEFECT = """
from pathlib import Path
from serve.governance.masking.prompts import MaskedPrompts

text = MaskedPrompts._text

def failing(self, *told, **more):
    if Path({path!r}).exists():
        raise ValueError
    return text(self, *told, **more)

MaskedPrompts._text = failing
"""


@of("IntramuralScreenFails")
def masking_has_a_defect(site: Site, folder: Path) -> Iterator[None]:
    """A module that Python imports at its start plants it."""
    planted, rules = folder / "planted", folder / "masking.toml"
    rules.write_text('[default]\nmask = ["personal"]\n', "utf-8")
    (folder / "sitecustomize.py").write_text(_DEFECT.format(path=str(planted)), "utf-8")
    server = site.fake("--masking-file", str(rules), variables={"PYTHONPATH": f"{folder}:{ROOT}"})
    site.ask(server)
    yield
    planted.touch()
    yield
    planted.unlink()


@of("IntramuralRuleHitsRise")
def somebody_asks_for_what_a_rule_blocks(site: Site, folder: Path) -> Iterator[None]:
    rules = folder / "filter.toml"
    rules.write_text(
        'version = "1"\n[[rules]]\nname = "r"\ncategory = "hate"\nwords = ["bad"]\n', "utf-8"
    )
    server = site.fake("--content-filter-file", str(rules))
    site.ask(server)
    yield
    blocked = {**BODY, "messages": [{"role": "user", "content": "it is bad"}]}
    callers = site.ask(server, 2, body=blocked)
    yield
    callers.stop()


@of("IntramuralAuditUnrecorded")
def calls_pass_while_the_disk_is_full(site: Site, folder: Path) -> Iterator[None]:
    server = _audited(site, folder, "--audit-when-unavailable", "pass")
    yield
    _no_file_may_grow(server, limit=1)
    yield
    _no_file_may_grow(server, limit=resource.RLIM_INFINITY)
