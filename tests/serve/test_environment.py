"""The process environment: what is switched off, what the operator set, and what is put back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve import environment
from serve.environment import harden_environment, set_engine_environment
from serve.errors import StartupError


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment of the test's own."""
    own = {"HOME": "/h"}
    monkeypatch.setattr(os, "environ", own)
    return own


def without_pytest(variables: dict[str, str]) -> dict[str, str]:
    """pytest notes the test that runs in the environment."""
    return {name: value for name, value in variables.items() if not name.startswith("PYTEST_")}


def test_the_environment_below_us_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("VLLM_HOST_IP", "VLLM_NO_USAGE_STATS", "VLLM_LOGGING_LEVEL", "OMP_NUM_THREADS")
    for name in (*names, "TORCHINDUCTOR_CACHE_DIR"):  # torch sets the last when it is imported
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    harden_environment()
    set_engine_environment({"OMP_NUM_THREADS": "2", "VLLM_LOGGING_LEVEL": "DEBUG"})
    assert os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "0"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert [os.environ[name] for name in names] == ["127.0.0.1", "1", "WARNING", "2"]
    # Of the user, and not where any user of the machine could put compiled code first.
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/var/cache/me/intramural/inductor"


def test_between_nodes_the_operator_gives_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "/h", "VLLM_HOST_IP": "10.1.2.3"})
    harden_environment(between_nodes=True)
    assert os.environ["VLLM_HOST_IP"] == "10.1.2.3"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    harden_environment()
    assert os.environ["VLLM_HOST_IP"] == "127.0.0.1"
    for given in ({}, {"VLLM_HOST_IP": "127.0.0.1"}):
        monkeypatch.setattr(os, "environ", {"HOME": "/h", **given})
        with pytest.raises(StartupError, match="needs VLLM_HOST_IP"):
            harden_environment(between_nodes=True)


def test_the_operators_environment_is_a_copy(variables: dict[str, str]) -> None:
    before = environment.operator_environment()
    harden_environment()
    assert without_pytest(before) == {"HOME": "/h"}
    assert variables["HF_HUB_OFFLINE"] == "1"


def test_folders_are_ours_within_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_DATA_HOME", "/srv")
    assert environment.xdg("XDG_DATA_HOME", ".local/share") == Path("/srv/intramural")
    monkeypatch.setenv("XDG_DATA_HOME", "")  # as good as unset, says the standard
    assert environment.xdg("XDG_DATA_HOME", ".x") == Path("/h/.x/intramural")


def test_an_empty_key_is_none(variables: dict[str, str]) -> None:
    assert environment.client_api_key() is None
    variables["OPENAI_API_KEY"] = ""
    assert environment.client_api_key() is None
    variables["OPENAI_API_KEY"] = "sk-a.b"
    assert environment.client_api_key() == "sk-a.b"


@pytest.mark.parametrize(
    ("value", "is_off"),
    [("1", True), ("TRUE", True), ("yes", True), ("On", True), ("0", False), ("", False)],
)
def test_the_hub_is_off_by_any_word_for_yes(value: str, is_off: bool) -> None:
    assert environment.hub_is_off({"HF_HUB_OFFLINE": value}) is is_off
    assert not environment.hub_is_off({})


def test_variables_are_put_back_after_a_failure_too(variables: dict[str, str]) -> None:
    variables["OPERATORS"] = "own"
    seen: dict[str, str] = {}

    def fail() -> None:
        with environment.variables_set({"OPERATORS": "ours", "NEW": "1"}):
            seen.update(variables)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert without_pytest(seen) == {"HOME": "/h", "OPERATORS": "own", "NEW": "1"}
    assert without_pytest(variables) == {"HOME": "/h", "OPERATORS": "own"}


@pytest.mark.parametrize("before", [{}, {"TMPDIR": "/var/tmp"}])
def test_the_folder_for_temporary_files_is_put_back(
    variables: dict[str, str], before: dict[str, str]
) -> None:
    variables |= before
    with environment.temporary_files_in("/run/ours"):
        assert variables["TMPDIR"] == "/run/ours"
    assert without_pytest(variables) == {"HOME": "/h", **before}


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "4GB", "²"])
def test_a_cache_of_no_whole_gib_is_refused_with_its_value(
    variables: dict[str, str], value: str
) -> None:
    variables["VLLM_CPU_KVCACHE_SPACE"] = value
    with pytest.raises(StartupError, match=f"is '{value}': whole GiB"):
        environment.cpu_kv_cache_bytes()
    variables["VLLM_CPU_KVCACHE_SPACE"] = ""
    assert environment.cpu_kv_cache_bytes() is None


@pytest.mark.parametrize("key", ["sk-a.b\n", "  sk-a.b\r\n", "\tsk-a.b"])
def test_white_space_around_a_key_is_left_out(variables: dict[str, str], key: str) -> None:
    variables["OPENAI_API_KEY"] = key
    assert environment.client_api_key() == "sk-a.b"


@pytest.mark.parametrize(
    "key", ["sk-a\nSECRET", "sk-a SECRET", "sk-aé SECRET", "SECRET\x7f", "\u200bSECRET"]
)
def test_a_key_that_no_header_carries_is_refused_and_not_shown(
    variables: dict[str, str], key: str
) -> None:
    variables["OPENAI_API_KEY"] = key
    with pytest.raises(StartupError, match="OPENAI_API_KEY") as refusal:
        environment.client_api_key()
    assert "SECRET" not in str(refusal.value)


def test_what_other_programs_left_behind_is_taken_out(variables: dict[str, str]) -> None:
    variables |= {
        "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
        "WEB_CONCURRENCY": "abc",
        "SSLKEYLOGFILE": "/tmp/keys",
        "VLLM_PORT": "tcp://10.0.0.1:80",
    }
    environment.leave_out_foreign_variables()
    assert not variables.keys() & {"PROMETHEUS_MULTIPROC_DIR", "WEB_CONCURRENCY", "VLLM_PORT"}
    assert "SSLKEYLOGFILE" not in variables
    variables["VLLM_PORT"] = "5000"
    environment.leave_out_foreign_variables()
    assert variables["VLLM_PORT"] == "5000"


@pytest.mark.parametrize(
    ("threads", "is_kept"),
    [("4", True), ("4,2", True), (" 2 ", True), ("0", False), ("-1", False), ("abc", False)],
)
def test_threads_that_openmp_would_complain_of_each_time(
    variables: dict[str, str], threads: str, is_kept: bool
) -> None:
    variables["OMP_NUM_THREADS"] = threads
    environment.leave_out_foreign_variables()
    assert ("OMP_NUM_THREADS" in variables) == is_kept


@pytest.mark.parametrize(("own", "expected"), [(None, "3"), ("5", "5")])
def test_threads_are_as_many_as_the_containers_quota_feeds(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, own: str | None, expected: str
) -> None:
    monkeypatch.setattr(environment.host_cpus, "usable_cpus", lambda: 8)
    monkeypatch.setattr(environment.host_cpus, "cpu_quota", lambda _: 3.9)
    variables.pop("OMP_NUM_THREADS", None)
    if own is not None:
        variables["OMP_NUM_THREADS"] = own
    environment.harden_environment()
    assert variables["OMP_NUM_THREADS"] == expected


def test_without_a_home_compiled_code_goes_to_a_folder_of_this_process(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        variables.pop(variable, None)
    monkeypatch.setattr("os.getuid", lambda: 1000810000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment.harden_environment()
    assert variables["TORCHINDUCTOR_CACHE_DIR"].startswith(f"{tmp_path}/intramural-cache-")
    with pytest.raises(StartupError, match="INTRAMURAL_DATA_DIR"):
        environment.xdg("XDG_CACHE_HOME", ".cache")
