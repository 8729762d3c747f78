"""Gates, the JSON, the tables, the picture, and what `models show` makes of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from benchmarks.quality import plots, table
from benchmarks.quality import report as reports
from benchmarks.quality.command import judged
from benchmarks.quality.formulas import Divergence, Estimate
from benchmarks.quality.making import read_making
from benchmarks.quality.report import Agreement, Making, Report, Side
from benchmarks.quality.sequences import Score
from benchmarks.quality.tensors import TensorError
from models import reports as stored_reports
from models.__main__ import main as models_main
from models.trust.manifest import Manifest
from tests.models.folders import whole

DIGEST = "sha256:" + "1" * 64


def side(scheme: str, right: int) -> Side:
    return Side(
        name="m",
        digest=DIGEST,
        scheme=scheme,
        weight_file_bytes=1000,
        resident_weight_bytes=1000,
        bits_per_weight=8.25,
        load_s=1.0,
        speed={
            "1": {"tokens_s": 4.0, "chunks_s": 4.0, "ttft_ms": 9.0},
            "8": {"tokens_s": 10.0, "chunks_s": 5.0, "ttft_ms": 3.0},
        },
        evaluation=Score(right=right, items=100),
    )


def agreement(top1: float, kl: float) -> Agreement:
    estimate = Estimate(value=1.5, stderr=0.1)
    return Agreement(
        tokens=100,
        sequences=10,
        top1=top1,
        base_perplexity=estimate,
        quantised_perplexity=estimate,
        ratio=estimate,
        kl=Divergence(mean=kl, median=kl, p99=kl, largest=kl),
        histogram={"1e-3": 100},
    )


def report(scheme: str = "int8", *, top1: float = 0.99, kl: float = 1e-3, right: int = 96):
    found = agreement(top1, kl)
    return Report(
        engine="transformers",
        num_weights=500_000_000,
        machine="2 cores",
        base=side("none", 96),
        quantised=side(scheme, right),
        making=Making(seconds=61.0, peak_memory_bytes=10**9),
        agreement={"evaluation": found, "all": found},
        tensors=(TensorError(name="a.weight", relative_mse=1e-4, num_weights=100, num_bytes=103),),
        failed=(),
    )


def test_a_verdict_says_which_line_failed():
    assert judged(report(), is_own_evaluation=True).failed == ()
    assert judged(report(right=95), is_own_evaluation=True).failed == ()
    bad = judged(report(top1=0.8, kl=0.5, right=90), is_own_evaluation=True).failed
    assert bad == (
        "mean KL divergence 0.5 is not below 0.004",
        "same most likely token 80.0% is below 95%",
        "the evaluation lost 6.00 points, more than 1",
    )
    assert len(judged(report(top1=0.8, kl=0.5, right=90), is_own_evaluation=False).failed) == 2
    assert judged(report("int4", top1=0.9, kl=0.05), is_own_evaluation=False).failed == ()


def test_the_tables_and_the_json_say_the_same():
    console = Console(file=io.StringIO(), width=120)
    for each in reports.tables(report()):
        console.print(each)
    text = console.file.getvalue()
    for part in ("8.25", "96/100", "99.00%", "1 min 01 s", "a.weight", "8.24", "3 ms"):
        assert part in text
    found = json.loads(reports.as_json(report()))
    assert found["schema"] == "intramural.quality/1"
    assert found["agreement"]["all"]["top1"] == 0.99
    assert found["agreement"]["all"]["kl"]["mean"] == 1e-3


def test_the_table_of_several_models():
    rows = [table.of_report(report()), table.of_report(report("int4", kl=0.0321))]
    rows += [replace(rows[0], system="llama.cpp", name="q8_0", evaluation=None, tokens_s=None)]
    console = Console(file=io.StringIO(), width=160)
    console.print(table.table("base", rows, Score(right=96, items=100)))
    text = console.file.getvalue()
    for part in ("against base", "96/100", "0.0321", "llama.cpp", "q8_0", "99.0%", "× 1.5000"):
        assert part in text
    found = json.loads(table.as_json("base", rows))
    assert found["schema"] == "intramural.quality-table/1"
    assert [row["name"] for row in found["rows"]] == ["m (int8)", "m (int4)", "q8_0"]
    assert found["rows"][1]["agreement"]["all"]["kl"]["mean"] == 0.0321


@pytest.mark.parametrize("kl", [[], [0.0, 1e-30, 1e-3, 0.5, 1e9]])
@pytest.mark.parametrize("worst", [[], [("m", 0.0)], [("model.layers.0." * 9, 1e-4)] * 30])
def test_the_picture_is_a_png(tmp_path, kl, worst):
    path = tmp_path / "p.png"
    plots.draw(path, title="t", worst=worst, kl=kl, mean_kl=1e-4 if kl else None)
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (plots.WIDTH, plots.HEIGHT))
        assert len(image.getcolors(1 << 16) or ()) > 2
    assert sum(plots.bins(kl)) == len(kl)


def test_show_tells_of_the_report(tmp_path, capsys):
    folder = whole(tmp_path / "models" / "m--int8")
    manifest = Manifest.build(folder)
    manifest.write(folder)
    path = stored_reports.path_of(tmp_path, "m--int8")
    path.parent.mkdir()
    made = report()
    own = replace(made, quantised=replace(made.quantised, digest=manifest.digest))
    path.write_text(reports.as_json(own))
    words = ["show", "m--int8", "--data-dir", str(tmp_path)]
    assert models_main(words) == 0
    out = capsys.readouterr().out
    assert "top-1 99.00%, KL 1.00e-03, perplexity x 1.5000, 8.25 bits per weight" in out
    assert "other bytes" not in out
    path.write_text(reports.as_json(replace(made, failed=("x: bad",))))
    assert models_main(words) == 0
    out = capsys.readouterr().out
    assert "FAILED: x: bad" in out
    assert "of other bytes than are here now" in out
    assert models_main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quality"]["failed_gates"] == ["x: bad"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"agreement": {}}', '{"agreement": 3, "quantised": 1}']
)
def test_a_damaged_report_is_none(tmp_path, text):
    path = stored_reports.path_of(tmp_path, "m")
    assert stored_reports.summary(tmp_path, "m", DIGEST) is None
    path.parent.mkdir()
    path.write_text(text)
    assert stored_reports.summary(tmp_path, "m", DIGEST) is None


def test_what_the_maker_printed_is_read_for_that_model_alone(tmp_path):
    folder = whole(tmp_path / "m")
    manifest = Manifest.build(folder)
    manifest.write(folder)
    event = {"event": "done", "report": {"seconds": 2.5, "peak_memory_bytes": 7}}
    path = tmp_path / "made.jsonl"
    path.write_text('{"event": "plan"}\n' + json.dumps(event | {"digest": manifest.digest}))
    assert read_making(path, folder) == Making(seconds=2.5, peak_memory_bytes=7)
    path.write_text(json.dumps(event | {"digest": DIGEST}))
    with pytest.raises(ValueError, match="is of sha256:1111"):
        read_making(path, folder)
    path.write_text('{"event": "done", "report": null}')
    with pytest.raises(ValueError, match="is not of a model that"):
        read_making(path, folder)
