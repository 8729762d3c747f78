"""Bodies of add-checkpoint: the example of the text, and what is refused."""

from __future__ import annotations

import pytest

from serve.governance.audit.witness import request_body

EXAMPLE = b"""\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

"""


def test_the_example_is_read_and_written_back():
    found = request_body.parse(EXAMPLE)
    assert (found.old_size, len(found.proof)) == (20852014, 2)
    assert found.checkpoint.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert request_body.written(found.old_size, found.proof, found.checkpoint) == EXAMPLE
    assert request_body.parse(request_body.written(0, (), b"x")).proof == ()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no empty line"),
        (b"old 1\n", "no empty line"),
        (b"old 01\n\nx", "first line"),
        (b"old -1\n\nx", "first line"),
        (b"old  1\n\nx", "first line"),
        (b"new 1\n\nx", "first line"),
        (b"old 1\nAAAA\n\nx", "line 2"),
        (b"old 1\n!\n\nx", "line 2"),
        ("old ١\n\nx".encode(), "not ASCII"),
        (b"old 1\n" + b"\n".join([EXAMPLE.split(b"\n")[1]] * 64) + b"\n\nx", "64 lines"),
        (b"old 1\n\n" + b"x" * request_body.MAX_BODY_BYTES, "more than"),
    ],
)
def test_what_is_no_body_is_refused_with_its_line(body, why):
    with pytest.raises(ValueError, match=why):
        request_body.parse(body)
