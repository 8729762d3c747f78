"""The vectorised sampler against a slow one that follows the definitions word by word."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers import drawing
from serve.engine.transformers.sampler import sample
from serve.engine.transformers.sequence import SequenceState
from serve.errors import InternalError


def state(
    prompt: list[int] | None = None, generated: list[int] | None = None, **params: Any
) -> SequenceState:
    sampling = SamplingParams(**({"max_tokens": 100} | params))
    one = SequenceState(
        request=EngineRequest(request_id="r", prompt_token_ids=prompt or [0], sampling=sampling),
        stop_token_ids=frozenset(),
    )
    one.token_ids += generated or []
    return one


def plain_distribution(logits: list[float], sequence: SequenceState) -> dict[int, float]:
    """Token id → probability, best first, by the definitions of ``SamplingParams``."""
    params = sequence.request.sampling
    generated = Counter(sequence.token_ids[sequence.num_prompt_tokens :])
    scores = list(logits)
    for token in set(sequence.token_ids):
        rate = params.repetition_penalty
        scores[token] = scores[token] / rate if scores[token] > 0 else scores[token] * rate
    for token, count in generated.items():
        scores[token] -= params.presence_penalty + params.frequency_penalty * count
    for token, bias in params.logit_bias.items():
        scores[token] += bias
    if params.temperature == 0:
        return {max(range(len(scores)), key=scores.__getitem__): 1.0}
    scores = [(score - max(scores)) / params.temperature for score in scores]
    order = sorted(range(len(scores)), key=lambda token: -scores[token])
    if params.top_k:
        order = order[: params.top_k]
    weights = {token: math.exp(scores[token]) for token in order}
    total, kept, mass = sum(weights.values()), {}, 0.0
    for token in order:
        if params.top_p < 1 and mass >= params.top_p * total:
            break
        mass += weights[token]
        if weights[token] >= params.min_p * weights[order[0]]:
            kept[token] = weights[token]
    total = sum(kept.values())
    return {token: weight / total for token, weight in kept.items()}


def plain_choice(distribution: dict[int, float], uniform: float, *, by_rank: bool) -> int:
    """Invert the cumulative distribution, in order of rank or of token id."""
    reached = 0.0
    order = list(distribution) if by_rank else sorted(distribution)
    for token in order:
        reached += distribution[token]
        if reached > uniform:
            return token
    return order[-1]


# Distinct, well separated logits: which of two equals is kept is nobody's business.
VOCAB = 40
logits_rows = st.permutations(range(VOCAB)).map(lambda order: [rank * 0.21 - 4 for rank in order])
params_rows = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.0]),
        "top_k": st.sampled_from([0, 0, 1, 2, 5, 12, 39, 100]),
        "top_p": st.sampled_from([1.0, 1.0, 0.99, 0.9, 0.5, 0.05]),
        "min_p": st.sampled_from([0.0, 0.0, 0.01, 0.2, 1.0]),
        "seed": st.integers(0, 1 << 40),
        "presence_penalty": st.sampled_from([0.0, 0.0, 0.53, -1.11]),
        "frequency_penalty": st.sampled_from([0.0, 0.0, 0.37, -0.77]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 1.13, 0.87]),
        "logit_bias": st.dictionaries(
            st.integers(0, VOCAB - 1), st.sampled_from([-100.0, 3.03]), max_size=3
        ),
        "num_logprobs": st.sampled_from([None, 0, 3]),
        "prompt": st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=6),
        "generated": st.lists(st.integers(0, VOCAB - 1), max_size=6),
    }
)


@pytest.fixture(params=[4, 16, 256], ids=lambda width: f"prefix{width}")
def _prefix(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a prefix so short that most rows need the full sort."""
    monkeypatch.setattr(drawing, "_PREFIX", request.param)


@pytest.mark.usefixtures("_prefix")
def test_rows_follow_the_definitions() -> None:
    @settings(max_examples=120, deadline=None)
    @given(st.lists(st.tuples(logits_rows, params_rows), min_size=1, max_size=5))
    def rows_follow(rows: list[tuple[list[float], dict[str, Any]]]) -> None:
        sequences = [state(**row) for _, row in rows]
        logits = torch.tensor([row for row, _ in rows])
        results = sample(logits.clone(), sequences)
        for (row, params), result, sequence in zip(rows, results, sequences, strict=True):
            distribution = plain_distribution(row, sequence)
            sampling = sequence.request.sampling
            truncated = sampling.top_k > 0 or sampling.top_p < 1 or sampling.min_p > 0
            draw = random.Random(params["seed"]).random()
            nearby = {
                plain_choice(distribution, min(max(draw + delta, 0), 1 - 1e-9), by_rank=truncated)
                for delta in (-1e-5, 0, 1e-5)
            }
            assert result.token_id in nearby
            assert (result.logprob is None) == (sampling.num_logprobs is None)
            if result.logprob is not None:
                raw = torch.tensor(row).log_softmax(-1)
                assert result.logprob.logprob == pytest.approx(
                    float(raw[result.token_id]), abs=1e-5
                )
                best = raw.topk(sampling.num_logprobs or 0)
                assert [token for token, _ in result.logprob.top] == best.indices.tolist()

    rows_follow()


@pytest.mark.usefixtures("_prefix")
@pytest.mark.parametrize(
    "params",
    [{}, {"top_p": 0.8}, {"top_k": 7}, {"min_p": 0.1}, {"top_k": 20, "top_p": 0.9, "min_p": 0.02}],
    ids=str,
)
def test_frequencies_are_the_distribution(params: dict[str, Any]) -> None:
    row = [0.21 * index - 4 for index in range(VOCAB)]
    sequence = state(temperature=0.9, seed=1, **params)
    expected = plain_distribution(row, sequence)
    num_draws = 4000
    logits = torch.tensor([row]).expand(num_draws, -1).clone()
    counts = Counter(one.token_id for one in sample(logits, [sequence] * num_draws))
    assert set(counts) <= set(expected)
    for token, probability in expected.items():
        spread = math.sqrt(probability * (1 - probability) / num_draws)
        assert counts[token] / num_draws == pytest.approx(probability, abs=5 * spread + 1e-3)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5000, generator=generator) * 3
    kinds: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 1.0, "seed": 1},
        {"temperature": 1.0, "seed": 2, "top_p": 0.9},
        {"temperature": 2.0, "seed": 3, "top_p": 0.999},
        {"temperature": 1.0, "seed": 4, "top_k": 2000, "top_p": 0.99},
        {"temperature": 1.0, "seed": 5, "min_p": 1e-6, "frequency_penalty": 0.5},
    ]
    together = sample(logits.clone(), [state(**kind) for kind in kinds])
    alone = [
        sample(logits[row : row + 1].clone(), [state(**kind)])[0] for row, kind in enumerate(kinds)
    ]
    assert together == alone


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_ties_in_half_precision_go_to_the_first(dtype: torch.dtype) -> None:
    logits = torch.zeros(3, 1000, dtype=dtype)
    logits[1, 400:500] = 2
    logits[2, 7] = 1
    assert [one.token_id for one in sample(logits, [state(temperature=0.0)] * 3)] == [0, 400, 7]


def test_which_of_equal_ones_are_told_is_no_matter_of_others() -> None:
    """Logits of bfloat16 are often equal, and which come first hangs on how many are wanted."""
    logits = torch.randn(3, 1000).mul(2).round()
    wishes = [1, 5, 20]
    together = sample(
        logits.clone(), [state(temperature=0.0, num_logprobs=count) for count in wishes]
    )
    for row, count in enumerate(wishes):
        (alone,) = sample(
            logits[row : row + 1].clone(), [state(temperature=0.0, num_logprobs=count)]
        )
        assert together[row].logprob == alone.logprob


def test_tiny_temperature_is_greedy_and_never_overflows() -> None:
    logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(1)) * 50
    best = int(logits.argmax())
    for temperature in (1e-3, 1e-6, 1e-30):
        one = state(temperature=temperature, top_p=0.9, seed=3)
        assert sample(logits.clone(), [one])[0].token_id == best


@pytest.mark.parametrize("temperature", [1e-5 / 2, 1e-30, 1e-40, 1e-45, 1e-46, 5e-324])
@pytest.mark.parametrize("params", [{}, {"top_p": 0.9}, {"top_k": 3}, {"min_p": 0.2}], ids=str)
def test_a_temperature_that_float32_cannot_say_is_greedy(
    temperature: float, params: dict[str, Any]
) -> None:
    logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(1)) * 50
    logits[0, 700:710] = logits.max() + 1  # of equals the first, as at 0
    chosen = [
        sample(logits.clone(), [state(temperature=value, seed=seed, num_logprobs=2, **params)])[0]
        for value in (0.0, temperature)
        for seed in range(5)
    ]
    assert {one.token_id for one in chosen} == {700}
    assert all(math.isfinite(one.logprob.logprob) for one in chosen if one.logprob)


EDGES: list[dict[str, Any]] = [
    {"temperature": 1e38},
    {"temperature": 1e300},
    {"temperature": 1e-5},
    {"top_p": 1e-46},
    {"top_p": 5e-324},
    {"top_p": 0.0},
    {"top_p": 1 - 1e-16},
    {"top_p": math.nextafter(1, 0), "top_k": 20},
    {"min_p": 5e-324},
    {"min_p": 1e-46},
    {"min_p": 1.0},
    {"min_p": 1 - 1e-16},
    {"top_k": 2**63 - 1, "top_p": 0.5},
    {"top_k": 2**70},
    *({"repetition_penalty": value} for value in (5e-324, 1e-46, 1e-40, 1e-7, 1e38, 1e300)),
    *({"presence_penalty": value} for value in (1e-46, 1e38, -1e38, 1e300, 5e-324)),
    *({"frequency_penalty": value} for value in (1e-46, 1e38, -1e38, 1e300, -1e300)),
    {"repetition_penalty": 1e-40, "presence_penalty": -1e38, "frequency_penalty": 1e38},
    {"logit_bias": dict.fromkeys(range(VOCAB), 100.0)},
    {"logit_bias": dict.fromkeys(range(VOCAB), -100.0)},
    {"logit_bias": dict.fromkeys(range(VOCAB), -1e38)},
    {"logit_bias": {3: 1e300, 4: -1e300}},
]


@pytest.mark.parametrize("params", EDGES, ids=lambda params: str(params)[:60])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4, 1e37])
def test_edges_of_the_numbers_never_make_garbage(params: dict[str, Any], scale: float) -> None:
    """With a model sure of one token, every draw is one that the definitions allow."""
    logits = torch.linspace(-1, 1, VOCAB)[torch.randperm(VOCAB)] * scale
    for temperature in (0.0, 1.0):
        one = state([1, 2], [3, 3, 4], **({"temperature": temperature, "seed": 1} | params))
        neighbour = state(temperature=1.0, seed=2)
        rows = torch.stack([logits, logits])
        outcome, beside = sample(rows, [one, neighbour])
        assert outcome.error is None
        assert 0 <= outcome.token_id < VOCAB
        assert beside == sample(logits[None].clone(), [state(temperature=1.0, seed=2)])[0]
        if params.get("min_p", 0) > 0.9 or 0 <= params.get("top_p", 1) < 1e-9:
            assert outcome.token_id == int(logits.argmax())


@pytest.mark.parametrize("penalty", [1e-7, 1e-40, 1e-46, 1e-100])
def test_a_tiny_penalty_keeps_the_order_of_what_it_raises(penalty: float) -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, [5, 6, 7, 8]] = torch.tensor([2.0, 3.0, 1.0, 9.0])
    for temperature in (0.0, 1.0):
        one = state([5, 6, 7], temperature=temperature, seed=1, repetition_penalty=penalty)
        assert sample(logits.clone(), [one])[0].token_id == 6


def test_extreme_penalties_do_not_touch_logprobs() -> None:
    logits = torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(3))
    one = state([5, 6], [7], repetition_penalty=1e-40, presence_penalty=1e38, num_logprobs=3)
    chosen = sample(logits.clone(), [one])[0]
    assert chosen.logprob is not None
    own = logits[0].log_softmax(-1)
    assert chosen.logprob.logprob == pytest.approx(float(own[chosen.token_id]))


BROKEN = {
    "nan": [math.nan] * 50,
    "one nan": [0.0] * 49 + [math.nan],
    "inf": [0.0] * 49 + [math.inf],
    "both": [-math.inf, math.inf] * 25,
    "nothing": [-math.inf] * 50,
}
PARAMS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 1.0, "top_p": 0.5},
    {"temperature": 0.0, "num_logprobs": 3, "repetition_penalty": 1e-40, "logit_bias": {3: 100.0}},
]


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_no_numbers_are_errors_of_their_own(
    row: list[float], params: dict[str, Any], dtype: torch.dtype
) -> None:
    good = torch.randn(50, generator=torch.Generator().manual_seed(0)).tolist()
    logits = torch.tensor([good, row, good], dtype=dtype)
    outcomes = sample(logits, [state(seed=1, **params) for _ in range(3)])
    assert isinstance(outcomes[1].error, InternalError)
    (alone,) = sample(torch.tensor([good], dtype=dtype), [state(seed=1, **params)])
    assert outcomes[0] == outcomes[2] == alone
    assert alone.error is None


def test_tokens_that_the_model_rules_out_are_no_fault() -> None:
    logits = torch.full((1, 50), -math.inf)
    logits[0, 9] = 1.0
    for params in PARAMS:
        assert sample(logits.clone(), [state(**params)])[0].token_id == 9


def test_different_seeds_are_different() -> None:
    seeds = (0, 7, -7, 7 + 2**32, 7 - 2**32, -1, 1, 2**63 - 1, -(2**63), -(2**63) + 1, 2**64)
    logits = torch.zeros(1, 100_000)
    drawn = {
        seed: [sample(logits.clone(), [state(seed=seed)])[0].token_id for _ in range(2)]
        for seed in seeds
    }
    assert all(first == second for first, second in drawn.values())
    assert len({first for first, _ in drawn.values()}) == len(seeds)
