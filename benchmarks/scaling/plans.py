"""The plans that are compared: fixed sizes, the HorizontalPodAutoscaler of k8s/, and KEDA's."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scaling.hpa import Direction, Policy, Scaler
from benchmarks.scaling.simulation import ADMITTED, KV_USE, WAITING, Plan

FILLED = 0.7
"""Share of a replica's slots that should be taken: more, and another is asked for."""
TARGETS = {WAITING: 4.0, KV_USE: 0.7}
UP = Direction(window_s=0, policies=(Policy(kind="Percent", value=100, period_s=60),))
DOWN = Direction(window_s=600, policies=(Policy(kind="Pods", value=1, period_s=120),))
LEAST, MOST = 2, 8
"""As k8s/components/hpa says; a test compares."""
IDLE_S = 900.0
WARM = (7.0, 19.0)
"""As k8s/components/keda says, but for weekends."""


def scaler(least: int, most: int, slots: int, *, is_late: bool = False) -> Scaler:
    """The autoscaler of k8s/ for replicas with so many slots."""
    targets = TARGETS if is_late else {ADMITTED: FILLED * slots, **TARGETS}
    return Scaler(least=least, most=most, targets=targets, up=UP, down=DOWN)


def plans(sizes: Sequence[int], *, least: int, most: int, slots: int) -> list[Plan]:
    """Fixed plans of these sizes, then those that scale."""
    awake = scaler(least, most, slots)
    asleep = scaler(1, most, slots)
    late = scaler(least, most, slots, is_late=True)
    return [
        *(Plan(name=f"static {size}", fixed=size) for size in sizes),
        Plan(name="hpa, queue alone", fixed=least, scaler=late),
        Plan(name="hpa", fixed=least, scaler=awake),
        Plan(name="keda", fixed=0, scaler=asleep, idle_s=IDLE_S, warm=WARM),
        Plan(name="keda, never warm", fixed=0, scaler=asleep, idle_s=IDLE_S),
    ]
