"""What a quantisation costs, measured while it is made: the model before and after over one text,
module by module, so that memory does not grow with the model.

::

    texts     what both read; windows its tokens    matrices  a weight's rows, in float32
    network   a forward that holds no weights       products  its linear layers, as engines
    head      both answers compared                 rounding  round their inputs
    figures   what is told of that                  gates     what must be kept
    measure   all of it, in order

It measures what a scheme's numbers cost, with everything else in float32: what an engine's kernels
add (bfloat16 between layers, the KV cache) is `python -m benchmarks quality`'s to say.
"""
