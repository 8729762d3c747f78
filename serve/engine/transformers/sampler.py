"""Choosing the next token of every sequence of a step, vectorised over the rows.

Order, as vLLM and transformers apply them: repetition penalty, presence and frequency penalties,
logit bias, the sequence's mask, temperature, top_k, top_p (of what top_k left), min_p; then one
uniform draw per row from the sequence's own source and the inverse of the cumulative distribution
(drawing.py).
So a row's token depends on its own logits and its own seed, never on which rows share the step.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from serve.engine.protocol import TokenLogprob
from serve.engine.transformers import drawing, logits_reshaping, row_errors
from serve.engine.transformers.logits_mask import RowMask
from serve.engine.transformers.sampled_row import SampledRow
from serve.errors import InternalError, RequestError

log = logging.getLogger(__name__)

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
        chosen[rows] = drawing.draw(
            logits[rows], [params[i] for i in drawn], [uniforms[i] for i in drawn]
        )
    token_ids: list[int] = chosen.tolist()
    logprobs = _logprobs(raw, token_ids, [row.num_logprobs for row in params])
    return [Sampled(*pair) for pair in zip(token_ids, logprobs, strict=True)]


def _reshapes(sequence: SampledRow) -> bool:
    """Whether the request changes its row before a token is drawn."""
    return sequence.mask is not None or logits_reshaping.has_rules(sequence)


def _needs_floats(sequence: SampledRow) -> bool:
    params = sequence.request.sampling
    return not sequence.is_greedy or params.num_logprobs is not None or _reshapes(sequence)


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
