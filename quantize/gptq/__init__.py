"""Calibrated rounding: what rounding one column did to a layer's answers, the columns that follow
make up for (GPTQ; Frantar et al., ICLR 2023).

::

    compensation   the rounding of one matrix, given which inputs it gets
    run            a streamed forward of a text; each layer is rounded when it is reached, by the
                   products of the inputs that it gets

It writes the same numbers in the same places as the data-free way does, so what comes out is an
artifact like any other; its manifest names the text.
"""
