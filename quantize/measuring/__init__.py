"""The cost of a quantisation in quality, measured while it is made.

The model before and after reads one text, module by module, so that memory does not grow with it.

::

    texts     what both read; windows its tokens    matrices  a weight's rows, in float32
    network   a forward that holds no weights       products  its linear layers, as engines
    head      both answers compared, in figures     rounding  round their inputs
    measure   all of it, in order                   gates     what must be kept

It measures what a scheme's numbers cost, with everything else in float32: what an engine's kernels
add (bfloat16 between layers, the KV cache) is `python -m benchmarks quality`'s to say.
"""
