"""Has the C library's allocator give large buffers back to the system when they are freed.

glibc takes a large buffer from the system by itself, and gives it back; but each one that is freed
raises the size from which it does so (mallopt(3), M_MMAP_THRESHOLD). A server that starts engine
after engine then keeps their buffers, by 15 MB each, in whatever thread's arena they were in.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1 << 20


def return_large_buffers() -> bool:
    """Give buffers of 1 MiB and more back to the system when they are freed, from now on.

    Not for a process that computes: each of its large tensors would be made of fresh pages.

    Returns:
        whether there is such an allocator here.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))
