"""Choosing the next token of every sequence of a step, vectorised over the rows.

Order, as vLLM and transformers apply them: repetition penalty, presence and frequency penalties,
logit bias, the sequence's mask, temperature, top_k, top_p (of what top_k left), min_p; then one
uniform draw per row from the sequence's own source and the inverse of the cumulative distribution.
So a row's token depends on its own logits and its own seed, never on which rows share the step.

Truncation needs the most likely tokens in order. Sorting a vocabulary of 150,000 per row costs
more than a small model's forward, so the rows are cut to their ``_PREFIX`` best first; a row whose
truncation reaches further (seen from the exact total probability) is sorted in full.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from serve.engine.protocol import SamplingParams, TokenLogprob
from serve.engine.transformers import logits_reshaping, row_errors
from serve.engine.transformers.logits_mask import RowMask
from serve.engine.transformers.sampled_row import SampledRow
from serve.errors import InternalError, RequestError

log = logging.getLogger(__name__)

_PREFIX = 256
_MOST_TEMPERATURE = 1e30

_FAILED = "The engine failed at choosing this request's next token."


@dataclass(frozen=True, slots=True)
class Sampled:
    """One row's outcome. Where ``error`` is set there is no token, and ``token_id`` is -1."""

    token_id: int
    logprob: TokenLogprob | None
    error: RequestError | None = None


def sample(logits: torch.Tensor, sequences: Sequence[SampledRow]) -> list[Sampled]:
    """Choose one token per row.

    A row of NaN, or with an infinite best, and one whose own parameters or mask raise, gets an
    error and changes nothing for the others. Where the whole raises, each row is tried by itself.

    Args:
        logits: ``[B, V]``, any float type; overwritten.
        sequences: one per row, each asked for one draw, in order.
    """
    params = [sequence.request.sampling for sequence in sequences]
    uniforms = [sequence.draw() for sequence in sequences]
    raw = logits
    if any(map(_needs_floats, sequences)):
        raw = logits = logits.float()
    best, chosen = logits.max(-1)  # [B]; the first of equals; argmax over bfloat16 is slower
    errors: dict[int, RequestError] = {**row_errors.unusable(best)}
    reshaped = _reshaped(sequences, chosen, errors)
    if reshaped:
        if any(row.num_logprobs is not None for row in params):
            logits = raw.clone()
        errors |= _reshape(logits, sequences, reshaped)
        rows = [index for index in reshaped if index not in errors]
        if rows:
            best[rows], chosen[rows] = logits[rows].max(-1)
            errors |= row_errors.none_left(best, rows)
    for index in errors:
        raw[index] = logits[index] = 0
        chosen[index] = 0
    try:
        sampled = _choose(raw, logits, chosen, sequences, uniforms)
    except Exception:
        log.exception("sampling failed; each row is tried alone")
        sampled = _one_by_one(raw, logits, chosen, sequences, uniforms)
    for index, error in errors.items():
        sampled[index] = Sampled(-1, None, error)
    return sampled


def _reshaped(
    sequences: Sequence[SampledRow], chosen: torch.Tensor, known: Collection[int]
) -> list[int]:
    """The rows that are to be changed before a token is drawn.

    A greedy row that has nothing but a mask is not, where the mask leaves its best token: the best
    of all is the best of those that are left.
    """
    rows = []
    for index, sequence in enumerate(sequences):
        if index in known or not _reshapes(sequence):
            continue
        mask = sequence.mask
        is_plain = sequence.is_greedy and not logits_reshaping.has_rules(sequence)
        if mask is None or not is_plain or not _allows(mask, int(chosen[index])):
            rows.append(index)
    return rows


def _allows(mask: RowMask, token_id: int) -> bool:
    try:
        return mask.allows(token_id)
    except Exception:  # noqa: BLE001 - it fails again where the row is reshaped, and is told there
        return False


def _reshape(
    logits: torch.Tensor, sequences: Sequence[SampledRow], rows: Sequence[int]
) -> dict[int, RequestError]:
    """Reshape these rows, in place; the errors of those that cannot be."""
    errors: dict[int, RequestError] = {}
    for index in rows:
        try:
            logits_reshaping.reshape(logits[index], sequences[index])
        except RequestError as error:
            errors[index] = error
        except Exception:
            log.exception("a row's parameters or mask failed")
            errors[index] = InternalError(_FAILED)
    return errors


def _one_by_one(
    raw: torch.Tensor,
    logits: torch.Tensor,
    best: torch.Tensor,
    sequences: Sequence[SampledRow],
    uniforms: Sequence[float],
) -> list[Sampled]:
    sampled = []
    for index, (sequence, uniform) in enumerate(zip(sequences, uniforms, strict=True)):
        row = slice(index, index + 1)
        try:
            sampled += _choose(raw[row], logits[row], best[row], [sequence], [uniform])
        except Exception:
            log.exception("a row's sampling failed")
            sampled.append(Sampled(-1, None, InternalError(_FAILED)))
    return sampled


def _choose(
    raw: torch.Tensor,
    logits: torch.Tensor,
    best: torch.Tensor,
    sequences: Sequence[SampledRow],
    uniforms: Sequence[float],
) -> list[Sampled]:
    """One token per row of ``logits`` ``[B, V]``, with the logprobs of ``raw``. Changes none.

    Args:
        best: ``[B]``, each row's likeliest token.
    """
    params = [sequence.request.sampling for sequence in sequences]
    chosen = best.clone()
    drawn = [index for index, row in enumerate(sequences) if not row.is_greedy]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        chosen[rows] = _draw(logits[rows], [params[i] for i in drawn], [uniforms[i] for i in drawn])
    token_ids: list[int] = chosen.tolist()
    logprobs = _logprobs(raw, token_ids, [row.num_logprobs for row in params])
    return [Sampled(*pair) for pair in zip(token_ids, logprobs, strict=True)]


def _reshapes(sequence: SampledRow) -> bool:
    """Whether the request changes its row before a token is drawn."""
    return sequence.mask is not None or logits_reshaping.has_rules(sequence)


def _needs_floats(sequence: SampledRow) -> bool:
    params = sequence.request.sampling
    return not sequence.is_greedy or params.num_logprobs is not None or _reshapes(sequence)


def _draw(
    logits: torch.Tensor, params: Sequence[SamplingParams], draws: Sequence[float]
) -> torch.Tensor:
    """One token id per row ``[S]``. logits: [S, V] float32; draws: S numbers in [0, 1)."""
    device = logits.device
    uniforms = torch.tensor(draws, dtype=torch.float64)
    temperatures = torch.tensor(
        [min(row.temperature, _MOST_TEMPERATURE) for row in params], device=device
    )
    # Centred first, so that no temperature however small overflows: the best is always 0.
    logits = (logits - logits.amax(-1, keepdim=True)) / temperatures[:, None]
    token_ids = torch.empty(len(params), dtype=torch.int64, device=device)
    whole = [i for i, row in enumerate(params) if not _truncates(row)]
    if whole:
        rows = torch.tensor(whole, device=device)
        token_ids[rows] = _invert(logits[rows].exp(), uniforms[whole].to(device))
    cut = [i for i, row in enumerate(params) if _truncates(row)]
    if cut:
        rows = torch.tensor(cut, device=device)
        token_ids[rows] = _draw_truncated(
            logits[rows], [params[i] for i in cut], uniforms[cut].to(device)
        )
    return token_ids


def _truncates(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1 or params.min_p > 0


def _draw_truncated(
    logits: torch.Tensor, params: Sequence[SamplingParams], uniforms: torch.Tensor
) -> torch.Tensor:
    """Rows with top_k, top_p or min_p. logits: [S, V] float32, best 0 -> [S]."""
    totals = logits.exp().sum(-1, dtype=torch.float64)  # [S]
    width = min(_PREFIX, logits.shape[-1])
    values, ids = logits.topk(width)  # [S, width], best first
    kept, is_complete = _truncate(values, totals, params, logits.shape[-1])
    positions = _invert(kept, uniforms)  # [S]
    token_ids = ids.gather(-1, positions[:, None])[:, 0]
    for index in (~is_complete).nonzero()[:, 0].tolist():
        values, ids = logits[index : index + 1].sort(-1, descending=True)
        row = slice(index, index + 1)
        kept, _ = _truncate(values, totals[row], [params[index]], logits.shape[-1])
        token_ids[index] = ids[0, _invert(kept, uniforms[row])[0]]
    return token_ids


def _truncate(
    values: torch.Tensor, totals: torch.Tensor, params: Sequence[SamplingParams], vocab_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of the tokens that survive, and whether none beyond ``values`` would.

    Args:
        values: ``[S, W]`` scaled logits, best first, best 0.
        totals: ``[S]`` sum of exp over the whole vocabulary.
    """
    width, device = values.shape[-1], values.device
    top_k = torch.tensor(
        [min(row.top_k or vocab_size, vocab_size) for row in params], device=device
    )
    top_p = torch.tensor([row.top_p for row in params], dtype=torch.float64, device=device)
    floor = torch.tensor(
        [math.log(row.min_p) if row.min_p > 0 else -math.inf for row in params], device=device
    )
    weights = values.exp().double()  # [S, W]
    ranks = torch.arange(width, device=device)
    weights = weights.masked_fill(ranks >= top_k[:, None], 0)
    sums = weights.cumsum(-1)  # [S, W]
    # top_p is of what top_k left.
    mass = torch.where(top_k <= width, sums[:, -1], totals)
    target = torch.where(top_p < 1, top_p * mass, math.inf)  # [S]
    before = sums - weights
    # A token is kept while those before it have not reached the target; the first one always is.
    kept = (before < target[:, None]) & (values >= floor[:, None])
    kept[:, 0] = True  # even of a target that is 0
    is_complete = (top_k <= width) | (
        # Without top_k (one beyond `values` always needs the full sort, for top_p's mass).
        (top_k >= vocab_size) & ((sums[:, -1] >= target) | (values[:, -1] < floor))
    )
    return weights * kept, is_complete


def _invert(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The index at which the cumulative weight passes ``uniform`` of the total, per row.

    Args:
        weights: ``[S, W]``, not negative; each row has a positive one.
        uniforms: ``[S]`` in [0, 1).
    """
    sums = weights.cumsum(-1, dtype=torch.float64)
    total = sums[:, -1:].contiguous()
    index = torch.searchsorted(sums, uniforms[:, None] * total, right=True)  # [S, 1]
    # Rounding can put the point on the total itself: then the last index with weight is meant.
    last = torch.searchsorted(sums, total)
    # The clamp is for rows of NaN, which must not name a token that does not exist.
    return torch.minimum(index, last)[:, 0].clamp(max=weights.shape[-1] - 1)


def _logprobs(
    raw: torch.Tensor, token_ids: Sequence[int], num_logprobs: Sequence[int | None]
) -> list[TokenLogprob | None]:
    """Logprobs of the model's own distribution, None for rows that want none.

    Args:
        raw: ``[B, V]``; float32 where any row wants some.
        token_ids: the chosen tokens.
        num_logprobs: for each row, how many of the most likely tokens are wanted beside it.
    """
    results: list[TokenLogprob | None] = [None] * len(num_logprobs)
    indices = [index for index, count in enumerate(num_logprobs) if count is not None]
    if not indices:
        return results
    rows = torch.tensor(indices, device=raw.device)
    logprobs = raw[rows].log_softmax(-1)  # [R, V]
    chosen = torch.tensor([token_ids[index] for index in indices], device=raw.device)
    chosen_logprobs: list[float] = logprobs.gather(-1, chosen[:, None])[:, 0].tolist()
    tops = _tops(logprobs, [num_logprobs[index] or 0 for index in indices])
    for row, index in enumerate(indices):
        results[index] = TokenLogprob(token_ids[index], chosen_logprobs[row], tops[row])
    return results


def _tops(logprobs: torch.Tensor, counts: Sequence[int]) -> list[tuple[tuple[int, float], ...]]:
    """The most likely tokens of each row ``[R, V]``, as many as it wants.

    Rows that want as many are looked at together, and no others: which of equal ones come first,
    or at all, hangs on the number.
    """
    tops: list[tuple[tuple[int, float], ...]] = [()] * len(counts)
    for count in set(counts) - {0}:
        rows = [row for row, wanted in enumerate(counts) if wanted == count]
        values, ids = logprobs[rows].topk(count)
        for row, row_ids, row_values in zip(rows, ids.tolist(), values.tolist(), strict=True):
            tops[row] = tuple(zip(row_ids, row_values, strict=True))
    return tops
