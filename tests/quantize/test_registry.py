"""The table of schemes: every one of models/refs.py but ``none``, each from its module."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from models.folder import scheme_of
from models.refs import QuantScheme
from quantize import registry, schemes
from quantize.errors import OptionError
from quantize.protocol import SchemeOptions


def test_every_scheme_but_none_can_be_written() -> None:
    assert set(registry.MODULES) == {*QuantScheme} - {QuantScheme.NONE}


def test_every_module_of_the_room_is_a_scheme() -> None:
    (folder,) = map(Path, schemes.__path__)
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == set(registry.MODULES.values())


def test_full_weights_are_no_scheme_and_the_error_names_those_that_are() -> None:
    with pytest.raises(OptionError, match=r"as 'none'\. There are int8, int8-weight-only, .*nf4"):
        registry.quantizer(QuantScheme.NONE, SchemeOptions())


@pytest.mark.parametrize("scheme", [*registry.MODULES])
def test_the_folder_says_which(tmp_path: Path, scheme: QuantScheme) -> None:
    quantizer = registry.quantizer(scheme, SchemeOptions())
    assert quantizer.scheme is scheme
    table = quantizer.config([], ["lm_head"])
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": table}))
    assert scheme_of(tmp_path) is scheme


def test_other_schemes_are_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    real = importlib.import_module
    monkeypatch.setattr(
        registry.importlib, "import_module", lambda name: imported.append(name) or real(name)
    )
    registry.quantizer(QuantScheme.INT8, SchemeOptions())
    assert imported == ["quantize.schemes.packed"]
