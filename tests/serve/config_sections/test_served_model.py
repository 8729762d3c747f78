"""The model's names, its scheme, and the arm that the server is."""

from __future__ import annotations

import pytest

from models.refs import QuantScheme
from serve.config import Config
from serve.config_sections.served_model import ServedModelSection
from serve.config_sources import load_config
from serve.errors import StartupError


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
        assert scheme in (ServedModelSection.model_fields["quant"].description or "")


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


def test_a_snapshot_of_a_cache_is_served_under_its_repository_s_name() -> None:
    snapshot = "/hub/models--acme--tiny/snapshots/" + "c" * 40
    assert Config(model=snapshot).model_names == ("acme--tiny",)
    assert Config(model="./my-model").model_names == ("my-model",)
