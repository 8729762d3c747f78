"""Settings from flags, environment and file, and the source that has what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.cli.flags import parse, settings
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.setting_names import env_of, flag_of


def test_flags_win_over_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nmax-num-seqs = 2\nmax_model_len = 3\n")
    env = {"INTRAMURAL_PORT": "10", "INTRAMURAL_MAX_NUM_SEQS": "20"}
    config = load_config({"port": "100"}, file=file, env=env)
    assert (config.port, config.max_num_seqs, config.max_model_len) == (100, 20, 3)


@pytest.mark.parametrize("name", ["max_num_seqs", "max_num_batched_tokens"])
def test_auto_from_every_source_leaves_a_size_to_engine_and_device(
    name: str, tmp_path: Path
) -> None:
    """And takes back the number of a source that comes before."""
    number, auto = tmp_path / "number.toml", tmp_path / "auto.toml"
    number.write_text(f"{name} = 64")
    auto.write_text(f'{name} = "auto"')
    flags = settings(parse([flag_of(name), "auto"]))
    for config in (
        load_config({}, env={}),
        load_config(flags, file=number, env={}),
        load_config({}, file=number, env={env_of(name): "auto"}),
        load_config({}, file=auto, env={}),
    ):
        assert getattr(config, name) is None


def test_adapters_come_by_name_from_every_source(tmp_path: Path) -> None:
    want = {"clerk": Path("/a/clerk"), "org/poet": Path("/b=c/poet")}
    pairs = [f"{name}={path}" for name, path in want.items()]
    file = tmp_path / "serve.toml"
    file.write_text(f"lora = {pairs}")
    flags = settings(parse([word for pair in pairs for word in ("--lora", pair)]))
    for config in (
        load_config(flags, env={}),
        load_config({}, env={"INTRAMURAL_LORA": ",".join(pairs)}),
        load_config({}, file=file, env={}),
    ):
        assert config.adapters == want
        assert list(config.adapters) == list(want)


@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        ({"port": "99999"}, {}, r"--port \(command line\).*65535, not '99999'"),
        ({"engine": "tensorrt"}, {}, r"--engine .*'transformers'"),
        ({}, {"INTRAMURAL_MAX_NUM_SEQS": "0"}, r"--max-num-seqs \(environment\).*not '0'"),
        ({"max_num_batched_tokens": "Auto"}, {}, r"--max-num-batched-tokens .*not 'Auto'"),
        ({}, {"INTRAMURAL_POTR": "1"}, r"unknown setting INTRAMURAL_POTR\. Did you mean .*_PORT"),
        ({}, {"intramural_port": "1"}, r"intramural_port\. Did you mean INTRAMURAL_PORT\?"),
        ({}, {"Intramural_Modle": "x"}, r"Intramural_Modle\. Did you mean INTRAMURAL_MODEL\?"),
        ({"served_model_name": ("a", " ")}, {}, "a name is empty"),
        ({"lora": ("a",)}, {}, "--lora a: NAME=PATH is needed"),
        ({"lora": (" =/x",)}, {}, "NAME=PATH is needed"),
        ({"lora": ("a=/x", "b=/y", "a=/z")}, {}, "--lora a=/z: the name is given twice"),
        ({"lora": ("demo=/x",)}, {}, "--lora demo=/x: the model itself has that name"),
        ({"lora": ("b=/x",), "served_model_name": ("a", "b")}, {}, "the model itself has that"),
        ({"max_loras": "2"}, {}, "--max-loras is for adapters, and there is no --lora"),
        ({"max_lora_rank": "8"}, {}, "--max-lora-rank is for adapters"),
        ({"lora": ("a=/x",), "max_lora_rank": "513"}, {}, r"--max-lora-rank .*512, not '513'"),
        ({"max_num_seqs": "8", "max_num_batched_tokens": "7"}, {}, "a step holds a token of every"),
    ],
)
def test_bad_values_name_their_source(
    flags: dict[str, str], env: dict[str, str], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        load_config(flags, env=env)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", r"unknown setting 'prot'\. Did you mean port"),
        ("port = ", "cannot be read: not TOML: Invalid value"),
        (f"port = {'9' * 5000}", "cannot be read: not TOML: a number is too long"),
        (f"port = {'[' * 10_000}", "cannot be read: it is nested too deeply"),
        ("x." * 10_000 + "y = 1", "unknown setting 'x'|nested too deeply"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(StartupError, match=message):
        load_config({}, file=file, env={})


def test_an_editors_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 7")
    assert load_config({}, file=file, env={}).port == 7


def test_what_is_no_text_is_told_in_one_line_without_an_error_number(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_bytes(b'model = "d\xe9mo"')
    with pytest.raises(
        StartupError, match=r"serve\.toml cannot be read: is not UTF-8 text"
    ) as told:
        load_config({}, file=file, env={})
    assert "TOML file of settings" in str(told.value)
    with pytest.raises(StartupError) as told:
        load_config({}, file=Path("/dev/zero"), env={})
    assert "Errno" not in str(told.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be read"):
        load_config({}, file=tmp_path / "absent.toml", env={})


def test_foreign_environment_is_left_alone() -> None:
    assert load_config({}, env={"PATH": "/bin"}).model == "demo"


def test_several_served_names_from_the_environment() -> None:
    config = load_config({}, env={"INTRAMURAL_SERVED_MODEL_NAME": "a,b"})
    assert config.model_names == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INTRAMURAL_SERVICE_HOST", "10.0.0.1"),
        ("INTRAMURAL_SERVICE_PORT", "80"),
        ("INTRAMURAL_SERVICE_PORT_HTTP", "80"),
        ("INTRAMURAL_PORT", "tcp://10.0.0.1:80"),
        ("INTRAMURAL_PORT", "udp://[fd00::1]:80"),
        ("INTRAMURAL_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("INTRAMURAL_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("INTRAMURAL_PORT_80_TCP_PROTO", "tcp"),
        ("INTRAMURAL_PORT_53_UDP_PORT", "53"),
        ("INTRAMURAL_CPU_SERVICE_HOST", "10.0.0.1"),
        ("INTRAMURAL_CPU_PORT", "tcp://10.0.0.1:80"),
        ("INTRAMURAL_CPU_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("INTRAMURAL_ENV_PATH", "/usr/bin"),
    ],
)
def test_addresses_of_services_called_like_us_are_passed_over(variable: str, value: str) -> None:
    assert load_config({}, env={variable: value}).port == 8000


@pytest.mark.parametrize(
    "variable", ["INTRAMURAL_PROT", "INTRAMURAL_PORT_", "INTRAMURAL_HOSTS", "INTRAMURAL_CPU_PORT"]
)
def test_a_setting_that_is_misspelt_stays_an_error(variable: str) -> None:
    with pytest.raises(StartupError, match=variable):
        load_config({}, env={variable: "8000"})


def test_a_config_file_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file, why in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(StartupError, match=f"cannot be read: .*{why}"):
            load_config({}, file=file, env={})


def test_settings_that_do_not_go_together_are_told_by_their_own_names() -> None:
    with pytest.raises(StartupError) as refused:
        load_config(settings(parse(["--prefix-cache-file-bytes", "2000000"])), env={})
    assert str(refused.value).startswith("--prefix-cache-file-bytes is heeded with")
