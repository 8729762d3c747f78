"""A day of requests against an autoscaler: what is waited, and what it costs.

Everything is computed: replicas are a model of ours with measured inputs (``measure.py``), the
autoscaler is Kubernetes' published algorithm (``hpa.py``). No cluster is asked.
"""
