"""What stands in the manifest, and whether the same result is there already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import ModelError
from models.progress import Progress, Silent
from models.refs import QuantScheme
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize.ensure import RECIPE
from quantize.errors import OccupiedError
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions, SchemePlan
from quantize.protocol import Method
from quantize.write import result
from quantize.write.result import QuantReport
from quantize.write.row_chunks import LayerError
from tests.models.folders import listed, whole
from tests.quantize.source_tensors import model

TOOLS = {QUANTISED_FROM: "sha256:1", RECIPE: "int8 rtn 0123"}
INT4 = QuantOptions(scheme=QuantScheme.INT4)


class Notices(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


def planned(options: QuantOptions) -> SchemePlan:
    return plan(model(), {}, options)[0]


def test_a_recipe_is_scheme_edition_method_and_a_hash_of_the_settings() -> None:
    scheme, method, settings = result.recipe(planned(INT4)).split()
    assert (scheme, method, len(settings)) == ("int4/2", "search", 12)
    plain = result.recipe(planned(replace(INT4, method=Method.RTN)))
    assert plain.split() == ["int4/2", "rtn", settings]
    assert result.recipe(planned(replace(INT4, group_size=64))).split()[2] != settings
    assert result.recipe(planned(QuantOptions(scheme=QuantScheme.NF4))).startswith("nf4 rtn ")


def target_with(path: Path, tools: dict[str, str] | None) -> Path:
    whole(path)
    if tools is not None:
        Manifest.build(path, tools=tools).write(path)
    return path


def test_the_same_of_the_same_weights_is_present(tmp_path: Path) -> None:
    progress = Progress(Silent())
    assert result.present(tmp_path / "absent", TOOLS, progress) is None
    target = target_with(tmp_path / "m", TOOLS | {"torch": "other"})
    manifest = result.present(target, TOOLS, progress)
    assert manifest is not None
    assert manifest.tools["torch"] == "other"


def test_one_of_other_weights_is_stale_and_said(tmp_path: Path) -> None:
    view = Notices()
    target = target_with(tmp_path / "m", TOOLS | {QUANTISED_FROM: "sha256:2"})
    assert result.present(target, TOOLS, Progress(view)) is None
    assert view.texts == ["m was made from sha256:2: made anew"]


@pytest.mark.parametrize("tools", [None, {}, TOOLS | {RECIPE: "int8 rtn 4567"}])
def test_another_model_keeps_its_place(tmp_path: Path, tools: dict[str, str] | None) -> None:
    target = target_with(tmp_path / "m", tools)
    with pytest.raises(OccupiedError, match=r"m is there .* with --out, or give --replace\."):
        result.present(target, TOOLS, Progress(Silent()))


def test_a_source_without_a_manifest_is_hashed_and_a_damaged_one_refused(tmp_path: Path) -> None:
    source = whole(tmp_path / "m")
    manifest = result.verified(source, tmp_path, Progress(Silent()))
    assert manifest == Manifest.build(source)
    manifest.write(source)
    assert result.verified(source, tmp_path, Progress(Silent())) == manifest
    (source / "model.safetensors").write_bytes(b"x" * 8)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        result.verified(source, tmp_path, Progress(Silent()))


def test_everything_but_weights_and_manifest_is_copied(tmp_path: Path) -> None:
    source, tree = listed(tmp_path / "m"), tmp_path / "tree"
    (source / "model.safetensors.index.json").write_text("{}")
    tree.mkdir()
    result.put_texts(source, tree, {"name": "模型"})
    there = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert there == {"config.json", "tokenizer.json", "sub/template.jinja"}
    assert (tree / "config.json").read_text("utf-8") == '{\n  "name": "模型"\n}\n'
    assert result.config_of(tree) == {"name": "模型"}


def test_errors_of_a_report_are_over_all_weights_and_not_by_layer() -> None:
    report = QuantReport(
        plan=planned(INT4),
        digest="",
        source_digest="",
        layers=(
            LayerError(name="small", error=1.0, rtn_error=1.0, energy=1.0),
            LayerError(name="large", error=1.0, rtn_error=3.0, energy=99.0),
        ),
        num_resumed_bytes=0,
        seconds=0.0,
        peak_memory_bytes=0,
    )
    assert report.relative_mse == pytest.approx(0.02)
    assert report.rtn_relative_mse == pytest.approx(0.04)
    assert replace(report, layers=()).relative_mse == 0
