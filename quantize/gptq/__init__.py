"""Calibrated rounding: what rounding one column did to a layer's answers, the columns that follow
make up for (GPTQ; Frantar et al., ICLR 2023).

::

    compensation   the rounding of one matrix, given which inputs it gets
    statistics     which those are: the products of inputs, of one text, layer after layer
    run            a streamed forward in which each layer is rounded when it is reached

It writes the same numbers in the same places as the data-free way does, so what comes out is an
artifact like any other; its manifest names the text.
"""
