"""Models on media: a bundle carries one across an air gap, in files that fit any disk.

A bundle of the model NAME is, in one folder or spread over several media::

    NAME.bundle.json   the index: every file and every part by size and SHA-256 (index.py)
    NAME.bundle.sig    a signature over the index's bytes, if it was signed (seal.py)
    NAME.part001 ...   the model's files one after the other, cut at the split size (stream.py)

Plain concatenation, and no tar: with the index every offset is known before a byte is read, so an
interrupted copy goes on at a part's beginning; the same model makes the same bytes; and nothing
that a medium holds is interpreted when it is unpacked.
"""
