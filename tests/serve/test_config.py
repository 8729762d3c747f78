"""One declaration, four sources, and clear errors for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.refs import QuantScheme
from serve.cli.flags import parse, settings
from serve.config import Config, load_config
from serve.errors import StartupError


def test_flags_win_over_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nmax-num-seqs = 2\nmax_model_len = 3\n")
    env = {"INTRAMURAL_PORT": "10", "INTRAMURAL_MAX_NUM_SEQS": "20"}
    config = load_config({"port": "100"}, file=file, env=env)
    assert (config.port, config.max_num_seqs, config.max_model_len) == (100, 20, 3)


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
        ({}, {"INTRAMURAL_POTR": "1"}, r"unknown setting INTRAMURAL_POTR\. Did you mean .*_PORT"),
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
        ("port = ", "cannot be read"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(StartupError, match=message):
        load_config({}, file=file, env={})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be read"):
        load_config({}, file=tmp_path / "absent.toml", env={})


def test_foreign_environment_is_left_alone() -> None:
    assert load_config({}, env={"PATH": "/bin"}).model == "demo"


def test_several_served_names_from_the_environment() -> None:
    config = load_config({}, env={"INTRAMURAL_SERVED_MODEL_NAME": "a,b"})
    assert config.model_names == ("a", "b")


def test_switches_have_two_flags_and_plain_values_elsewhere() -> None:
    assert settings(parse(["--enforce-eager"])) == {"enforce_eager": True}
    assert settings(parse(["--no-enable-prefix-caching"])) == {"enable_prefix_caching": False}
    env = {"INTRAMURAL_ENFORCE_EAGER": "true", "INTRAMURAL_ENGINE_ARG": "block_size=64  seed=1"}
    config = load_config({}, env=env)
    assert config.enforce_eager
    assert config.engine_arg == ("block_size=64", "seed=1")


def test_engine_arguments_may_be_given_again_and_again() -> None:
    given = settings(parse(["--engine-arg", "a=1", "--engine-arg", 'b={"c": 2}']))
    assert load_config(given, env={}).engine_arg == ("a=1", 'b={"c": 2}')


def test_the_models_own_name_is_the_default() -> None:
    assert load_config({"model": "some/folder/qwen"}, env={}).model_names == ("qwen",)


def test_the_fake_engine_and_a_scheme_do_not_go_together() -> None:
    with pytest.raises(StartupError, match="the fake engine has no weights"):
        load_config({"engine": "fake", "quant": "int8"}, env={})
    assert load_config({"engine": "fake", "quant": "auto"}, env={}).quant_scheme is None
    assert load_config({"quant": "none"}, env={}).quant_scheme == "none"


def test_every_scheme_can_be_asked_for() -> None:
    for scheme in QuantScheme:
        assert load_config({"quant": str(scheme)}, env={}).quant_scheme is scheme
        assert scheme in (Config.model_fields["quant"].description or "")


def test_a_budget_of_bytes_is_no_scheme() -> None:
    config = load_config({"quant": "auto:1.5GB"}, env={})
    assert (config.quant_bytes, config.quant_scheme) == (1_500_000_000, None)
    variant = load_config({"quant": "int4-down"}, env={}).quant_choice
    assert variant is not None
    assert (variant.scheme, variant.variant) == ("int4", "down")
    for wrong in ("int5", "auto:", "auto:0", "auto:lots", "int8-down", ""):
        with pytest.raises(StartupError, match="--quant"):
            load_config({"quant": wrong}, env={})


@pytest.mark.parametrize("arm", ["", "a b", "a\r\nx-evil: 1", "ä", "x" * 65])
def test_an_arm_is_a_plain_word(arm: str) -> None:
    with pytest.raises(StartupError, match="--arm"):
        load_config({"arm": arm}, env={})
    assert load_config({"arm": "canary_2.b"}, env={}).arm == "canary_2.b"
