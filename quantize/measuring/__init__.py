"""What a quantisation costs, measured while it is made: the model before and after over one text,
module by module, so that memory does not grow with the model.

::

    texts      what both read            matrices   a weight's rows, as stored, in float32
    streamed   a forward of one folder   rounding   what an engine does to activations
    head       both answers compared     figures    what is told of that
    measure    all of it, in order       gates      what must be kept, by scheme and size

It measures what a scheme's numbers cost, with everything else in float32: what an engine's kernels
add (bfloat16 between layers, the KV cache) is `python -m benchmarks quality`'s to say.
"""
