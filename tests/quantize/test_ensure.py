"""What counts as the quantised artifact of a model: there, whole, of that scheme, and not stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ManifestError, ModelError
from models.lockfile import LockFile, Pin
from models.refs import QuantScheme
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize.ensure import RECIPE, artifact_name, digest_of, find, source_digest
from quantize.plan.choices import Choice
from tests.models.folders import whole

INT8 = Choice(scheme=QuantScheme.INT8)
INT4 = Choice(scheme=QuantScheme.INT4)


def group(num_bits: int, **more: Any) -> dict[str, Any]:
    numbers = {"num_bits": num_bits, "type": "int", "strategy": "group"}
    table = {"group_0": {"weights": numbers} | more}
    return {"quant_method": "compressed-tensors", "config_groups": table}


CONFIG = group(8)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    folder = whole(tmp_path / "models" / "m")
    Manifest.build(folder).write(folder)
    return folder


def quantised(
    data_dir: Path,
    made_from: str | None,
    config: dict[str, Any] = CONFIG,
    *,
    choice: Choice = INT8,
    recipe: str = "",
) -> Path:
    folder = whole(data_dir / "models" / artifact_name("m", choice), quantization_config=config)
    tools = {} if made_from is None else {QUANTISED_FROM: made_from}
    tools |= {RECIPE: recipe} if recipe else {}
    Manifest.build(folder, tools=tools).write(folder)
    return folder


def test_it_is_found_by_the_digest_of_what_it_was_made_from(tmp_path: Path, full: Path) -> None:
    assert find("m", INT8, tmp_path, full=full).artifact is None
    path = quantised(tmp_path, digest_of(full))
    found = find("m", INT8, tmp_path, full=full)
    assert found.artifact is not None
    assert (found.artifact.path, found.artifact.scheme) == (path, QuantScheme.INT8)
    assert source_digest(path) == digest_of(full)
    assert find("m", INT4, tmp_path, full=full).artifact is None


def test_weights_that_changed_make_it_stale(tmp_path: Path, full: Path) -> None:
    quantised(tmp_path, digest_of(full))
    (full / "tokenizer.json").write_text('{"other": 1}')
    Manifest.build(full).write(full)
    found = find("m", INT8, tmp_path, full=full)
    assert found.artifact is None
    assert "other weights" in found.reason
    assert found.is_stale


def test_a_full_model_without_a_manifest_is_hashed(tmp_path: Path) -> None:
    full = whole(tmp_path / "models" / "m")
    quantised(tmp_path, Manifest.build(full).digest)
    assert find("m", INT8, tmp_path, full=full).artifact is not None


def test_the_pin_stands_for_weights_that_are_not_here(tmp_path: Path, full: Path) -> None:
    digest = digest_of(full)
    quantised(tmp_path, digest)
    assert find("m", INT8, tmp_path, full=None).artifact is not None
    LockFile(tmp_path).put("m", Pin(digest=digest))
    assert find("m", INT8, tmp_path, full=None).artifact is not None
    LockFile(tmp_path).put("m", Pin(digest="sha256:" + "0" * 64))
    assert "other weights" in find("m", INT8, tmp_path, full=None).reason


def test_what_is_broken_is_made_anew(tmp_path: Path, full: Path) -> None:
    path = quantised(tmp_path, digest_of(full))
    (path / "manifest.json").write_text("{}")
    assert "not whole" in find("m", INT8, tmp_path, full=full).reason
    (path / "model.safetensors").unlink()
    assert find("m", INT8, tmp_path, full=full).is_stale


def test_what_was_not_made_from_it_is_left_alone(tmp_path: Path, full: Path) -> None:
    path = quantised(tmp_path, None)
    with pytest.raises(ModelError, match=r"--model m--int8\), or remove it"):
        find("m", INT8, tmp_path, full=full)
    (path / "manifest.json").unlink()
    with pytest.raises(ModelError, match="does not say that it was made from m"):
        find("m", INT8, tmp_path, full=full)


def test_a_name_that_lies_is_an_error(tmp_path: Path, full: Path) -> None:
    config = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0}
    quantised(tmp_path, digest_of(full), config)
    with pytest.raises(ModelError, match=r"called int8 and is bnb-int8.*models rm m--int8"):
        find("m", INT8, tmp_path, full=full)


def test_a_damaged_manifest_of_the_full_weights_is_an_error(tmp_path: Path, full: Path) -> None:
    quantised(tmp_path, digest_of(full))
    (full / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError):
        find("m", INT8, tmp_path, full=full)


def test_what_int8_was_before_is_made_anew(tmp_path: Path, full: Path) -> None:
    quantised(tmp_path, digest_of(full), group(8, input_activations={}))
    found = find("m", INT8, tmp_path, full=full)
    assert (found.artifact, found.is_stale) == (None, True)
    assert "another format" in found.reason


@pytest.mark.parametrize(
    ("recipe", "is_here", "is_stale"),
    [
        ("int4 search 0123", True, True),
        ("int4 search 0123", False, False),  # nothing to make a better one from
        ("int4 gptq 0123 128 x 512 abcd", True, False),
        ("int4/2 search 0123", True, False),
    ],
)
def test_what_int4_was_before_is_made_anew_where_it_can_be(
    tmp_path: Path, full: Path, recipe: str, is_here: bool, is_stale: bool
) -> None:
    quantised(tmp_path, digest_of(full), group(4), choice=INT4, recipe=recipe)
    found = find("m", INT4, tmp_path, full=full if is_here else None)
    assert found.is_stale == is_stale
    assert (found.artifact is None) == is_stale


@pytest.mark.parametrize("loss", ["gone", "another"])
def test_full_weights_that_are_not_the_pinned_ones_are_no_source(
    tmp_path: Path, full: Path, loss: str
) -> None:
    """A base whose manifest is gone would be hashed as it is, and quantised anew."""
    LockFile(tmp_path).put("m", Pin(digest=digest_of(full)))
    quantised(tmp_path, digest_of(full))
    assert find("m", INT8, tmp_path, full=full).artifact is not None
    (full / "config.json").write_text('{"model_type": "llama"}')
    (full / "manifest.json").unlink()
    if loss == "another":
        Manifest.build(full).write(full)
    with pytest.raises(ModelError, match="pinned"):
        find("m", INT8, tmp_path, full=full)
