import json

import pytest

from models.quality import Better, Quality, QualityFault, TextFigures

FIGURES = {
    "num_tokens": 600,
    "kl_mean": 0.0123,
    "kl_median": 0.008,
    "kl_p99": 0.07,
    "top1": 0.951,
    "base_perplexity": 20.0,
    "perplexity": 20.4,
}
QUALITY = Quality(
    **FIGURES,
    num_weights=494_032_768,
    texts=(TextFigures(**FIGURES, name="english", sha256="ab" * 32),),
    better=Better(scheme="int8", bytes=530_000_000),
)


def document() -> dict:
    return json.loads(json.dumps(QUALITY.to_json()))


def test_it_survives_its_json():
    assert Quality.from_json(document()) == QUALITY


def test_the_line_names_figures_tokens_and_texts():
    assert QUALITY.line == ("KL 0.0123, same token 95.1%, perplexity × 1.020 (600 tokens: english)")


@pytest.mark.parametrize(
    "change",
    [
        {"kl_mean": -0.1},
        {"kl_mean": float("nan")},
        {"kl_mean": "0.1"},
        {"top1": True},
        {"base_perplexity": 0},
        {"num_tokens": 0},
        {"num_tokens": 1.5},
        {"num_weights": 0},
        {"texts": []},
        {"texts": [{"name": "x"}]},
        {"better": {"scheme": "int8"}},
        {"better": {"scheme": "int8", "bytes": 0}},
        {"more": 1},
    ],
)
def test_what_is_unusual_is_refused(change):
    with pytest.raises(QualityFault):
        Quality.from_json(document() | change)


@pytest.mark.parametrize("value", [None, [], "x", {}])
def test_what_is_no_quality_is_refused(value):
    with pytest.raises(QualityFault):
        Quality.from_json(value)


def test_a_text_without_a_hash_is_refused():
    changed = document()
    changed["texts"][0]["sha256"] = "x"
    with pytest.raises(QualityFault):
        Quality.from_json(changed)
