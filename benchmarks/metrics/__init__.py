"""Every figure of a measurement, as a property over raw stamps: formula, unit, source.

::

    Request    one Trace                      TTFT, ITL, TPOT, E2E
    Load       all requests of one level      rates, percentiles, goodput, refusals
    Batch      requests that an engine ran    prefill and decode speed, MFU, MBU

TTFT, TPOT, ITL and E2E are the server's own formulas (serve/timeline.py, docs/glossary.md), over
what the client saw. ``vllm bench serve`` (vllm/benchmarks/serve.py, calculate_metrics, 0.32) has
the same ones, but for two, which is said where they stand; a test compares all on one trace.
Percentiles are numpy's linear ones, as there.
"""
