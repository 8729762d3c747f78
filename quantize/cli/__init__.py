"""The options and the output of ``python -m quantize`` and the commands beside it."""
