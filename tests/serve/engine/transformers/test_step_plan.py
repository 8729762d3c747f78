"""The tensors of one forward: where each token goes, what it sees, and which rows are sampled."""

from __future__ import annotations

import pytest
import torch

from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache, LayerShape
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.engine.transformers.step_plan import LEAST_ROWS, Reach, StepPlan, make_plan

CPU = torch.device("cpu")
SHAPE = LayerShape(num_kv_heads=1, key_dim=2, value_dim=2, sliding_window=None)


def sequence(num_tokens: int, block_ids: list[int], first_token: int = 0) -> SequenceState:
    prompt = list(range(first_token, first_token + num_tokens))
    request = EngineRequest(
        request_id="r", prompt_token_ids=prompt, sampling=SamplingParams(max_tokens=1)
    )
    return SequenceState(request=request, stop_token_ids=frozenset(), block_ids=block_ids)


def decode(num_tokens: int, block_ids: list[int], first_token: int = 0) -> Segment:
    """The last token of a sequence of so many, which was generated."""
    state = sequence(num_tokens - 1, block_ids, first_token)
    state.append(first_token + num_tokens - 1)
    return Segment(state, num_tokens - 1, 1)


def plan(*segments: Segment) -> StepPlan:
    cache = KVCache({0: SHAPE}, num_blocks=32, dtype=torch.float32, device=CPU)
    return make_plan(segments, cache, CPU)


def only_reach(segment: Segment, sliding_window: int | None = None) -> Reach:
    (span,) = plan(segment).spans
    return span.reach(sliding_window, CPU)


def test_decodes_go_before_chunks_and_long_contexts_apart() -> None:
    chunk = Segment(sequence(9, [9]), 0, 9)
    short, shorter = decode(8 * BLOCK_SIZE, list(range(8))), decode(1, [8])
    long = decode(8 * BLOCK_SIZE + 1, list(range(10, 19)))
    step_plan = plan(chunk, long, short, shorter)
    assert [(span.start, span.stop, span.segments) for span in step_plan.spans] == [
        (0, 2, [short, shorter]),  # up to eight blocks share one group
        (2, 3, [long]),
        (3, 12, [chunk]),
    ]
    assert [span.is_decode for span in step_plan.spans] == [True, True, False]


def test_tokens_positions_and_slots_are_of_the_packed_order() -> None:
    chunk = Segment(sequence(80, [5, 2], first_token=100), BLOCK_SIZE - 1, 3)
    step_plan = plan(chunk, decode(2, [7]))
    filling = [0] * (LEAST_ROWS - 4)  # of no sequence
    assert step_plan.input_ids.tolist() == [[1, 131, 132, 133, *filling]]
    assert step_plan.position_ids.tolist() == [[1, 31, 32, 33, *filling]]
    assert step_plan.slots.tolist() == [
        7 * BLOCK_SIZE + 1,
        5 * BLOCK_SIZE + BLOCK_SIZE - 1,
        2 * BLOCK_SIZE,
        2 * BLOCK_SIZE + 1,
    ]


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (Segment(sequence(38, [5, 2]), 0, 38), [5, 2]),
        (Segment(sequence(38, [5, 2]), 1, 37), [2]),
        (Segment(sequence(38, [5, 2]), 0, BLOCK_SIZE), [5]),
        (Segment(sequence(38, [5, 2]), BLOCK_SIZE, 6), [2]),
        (Segment(sequence(38, [5, 2]), BLOCK_SIZE + 1, 5), None),
        (decode(BLOCK_SIZE + 1, [5, 2]), [2]),
        (decode(BLOCK_SIZE, [5]), None),
    ],
    ids=lambda value: f"{value.start}+{value.num_tokens}" if isinstance(value, Segment) else "",
)
def test_a_block_is_fresh_in_the_step_of_its_first_token(
    segment: Segment, expected: list[int] | None
) -> None:
    fresh = plan(segment).fresh_blocks
    assert expected == (None if fresh is None else fresh.tolist())


def test_only_what_ends_its_sequence_is_sampled() -> None:
    middle, end = Segment(sequence(20, [1]), 5, 10), Segment(sequence(9, [2]), 4, 5)
    step_plan = plan(middle, end, decode(3, [3]))
    assert [segment.sequence.num_prompt_tokens for segment in step_plan.sampled] == [2, 9]
    assert step_plan.last_rows.tolist() == [0, 15]
    assert plan(middle).last_rows.tolist() == []


def test_a_chunk_that_starts_its_sequence_needs_no_mask_within_the_window() -> None:
    first = Segment(sequence(30, [6]), 0, 30)
    for window in (None, 30):
        reach = only_reach(first, window)
        assert (reach.mask, reach.past, reach.blocks.tolist()) == (None, 0, [6])


@pytest.mark.parametrize("window", [None, 30, 10])
@pytest.mark.parametrize(("start", "size"), [(0, 40), (38, 3), (64, 20)])
def test_a_chunk_sees_itself_and_what_was_before_within_the_window(
    window: int | None, start: int, size: int
) -> None:
    reach = only_reach(Segment(sequence(88, [8, 6, 4]), start, size), window)
    offset = start - reach.past  # the position of the first column
    assert offset % BLOCK_SIZE == 0
    last = -(-(start + size) // BLOCK_SIZE)
    assert reach.blocks.tolist() == [8, 6, 4][offset // BLOCK_SIZE : last]
    if reach.mask is None:
        assert start == 0
        return
    for row, seen in enumerate(reach.mask.tolist()):
        position = start + row
        visible = [offset + column for column, is_seen in enumerate(seen) if is_seen]
        first = 0 if window is None else max(0, position + 1 - window)
        assert visible == list(range(first, position + 1))


def test_decodes_see_their_own_blocks_only_and_shorter_ones_are_padded_with_them() -> None:
    (span,) = plan(decode(3, [9]), decode(BLOCK_SIZE + 2, [4, 7])).spans
    reach = span.reach(None, CPU)
    assert reach.blocks.tolist() == [9, 9, 4, 7]
    assert reach.mask is not None
    assert reach.mask.shape == (2, 1, 1, 2 * BLOCK_SIZE)
    assert reach.mask.sum(-1).flatten().tolist() == [3, BLOCK_SIZE + 2]
    assert reach.mask[0, 0, 0, :3].all()


def test_a_decode_with_a_window_reads_only_the_blocks_that_it_sees() -> None:
    reach = only_reach(decode(3 * BLOCK_SIZE + 5, [1, 2, 3, 4]), sliding_window=10)
    assert reach.blocks.tolist() == [3, 4]
    assert reach.mask is not None
    visible = reach.mask.flatten().nonzero().flatten().tolist()
    assert visible == list(range(BLOCK_SIZE - 5, BLOCK_SIZE + 5))


def test_layers_of_one_window_share_what_they_see() -> None:
    (span,) = plan(decode(50, [1, 2])).spans
    assert span.reach(None, CPU) is span.reach(None, CPU)
    assert span.reach(8, CPU) is not span.reach(None, CPU)
