"""Frames: every cut, and every flipped bit, is told for what it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.governance.audit.log import frames

SALT = 0x5A17_0F_5A


def segment(groups: list[list[bytes]], first: int = 7, salt: int = SALT) -> bytes:
    data, index = frames.header(first, salt), first
    for group in groups:
        data += frames.frames(group, index, index, salt)
        index += len(group)
    return data


@given(st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=4), max_size=5))
def test_a_segment_gives_its_payloads_back(groups):
    data = segment(groups)
    found = frames.scan(data)
    assert found is not None
    assert found.payloads == [payload for group in groups for payload in group]
    assert (found.first_index, found.salt, found.lost) == (7, SALT, "")
    assert found.end == len(data)


def test_a_cut_at_any_byte_leaves_the_longest_valid_prefix():
    data = segment([[b"one", b""], [b"three" * 9]])
    whole = frames.scan(data)
    assert whole is not None
    for end in range(len(data)):
        found = frames.scan(data[:end])
        if end < frames.HEADER_BYTES:
            assert found is None
            continue
        assert found is not None
        num = sum(frame_end <= end for frame_end in whole.ends)
        assert found.payloads == whole.payloads[:num]
        assert not found.lost


def test_a_damaged_frame_is_lost_if_a_later_one_says_that_it_was_durable():
    data = segment([[b"one", b"two"], [b"three"]])
    whole = frames.scan(data)
    assert whole is not None
    for at in range(frames.HEADER_BYTES, len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            found = frames.scan(bytes(damaged))
            assert found is not None
            number = sum(end <= at for end in whole.ends)
            assert found.payloads == whole.payloads[:number]
            # Behind "one" and "two" stands a frame of a later group; behind "three" nothing.
            assert bool(found.lost) == (number < 2)


def test_no_bit_of_the_header_may_change():
    data = segment([[b"one"]])
    for at in range(frames.HEADER_BYTES * 8):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        assert frames.scan(bytes(damaged)) is None


def test_a_group_that_came_to_the_disk_in_another_order_is_torn():
    data = segment([[b"one"], [b"two", b"three"]])
    whole = frames.scan(data)
    assert whole is not None
    hole = data[: whole.ends[0]] + bytes(whole.ends[1] - whole.ends[0]) + data[whole.ends[1] :]
    found = frames.scan(hole)
    assert found is not None
    assert (found.payloads, found.lost) == ([b"one"], "")


def test_a_payload_cannot_pass_for_a_frame():
    """Whoever writes payloads knows the format, but not the salt."""
    forged = frames.frames([b"forged"], 99, 99, salt=0)
    data = segment([[b"one"], [forged]])
    found = frames.scan(data[:-1])
    assert found is not None
    assert (found.payloads, found.lost) == ([b"one"], "")


def test_an_entry_that_comes_twice_is_damage():
    again = frames.frames([b"one"], 7, 7, SALT)
    found = frames.scan(segment([[b"one"]]) + again)
    assert found is not None
    assert "entry 7 comes again" in found.lost
