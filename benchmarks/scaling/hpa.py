"""The HorizontalPodAutoscaler's arithmetic, for metrics of pods with a target average.

Sources: kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale (algorithm,
tolerance, missing and not yet ready pods, behaviour) and the API reference of autoscaling/v2
(stabilisation windows, policies). Pure: a clock is an argument.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

TOLERANCE = 0.1
SYNC_PERIOD_S = 15.0


def desired_replicas(
    current: int,
    values: Sequence[float],
    target: float,
    *,
    num_unready: int = 0,
    num_missing: int = 0,
    tolerance: float = TOLERANCE,
) -> int:
    """The number of replicas that one metric asks for: ceil(current x average / target).

    Args:
        current: replicas as the Deployment has them now.
        values: of the ready pods that have one.
        target: average that each pod should have; more than 0.
        num_unready: pods that are starting. They count as 0 where more would be wanted, so that a
            start under way is not asked for again; else not at all.
        num_missing: ready pods without a value: 0 where more would be wanted, the target where
            fewer would.
        tolerance: ratios this near to 1 change nothing.
    """
    if not values:
        return current
    ratio = sum(values) / len(values) / target
    is_growing = ratio > 1
    if not num_missing and not (num_unready and is_growing):
        if abs(ratio - 1) <= tolerance:
            return current
        return math.ceil(_plain(ratio * len(values)))
    padded = [*values, *([0.0 if is_growing else target] * num_missing)]
    if is_growing:
        padded += [0.0] * num_unready
    cautious = sum(padded) / len(padded) / target
    if abs(cautious - 1) <= tolerance or (cautious > 1) != is_growing:
        return current
    wanted = math.ceil(_plain(cautious * len(padded)))
    return current if (wanted > current) != is_growing else wanted


def _plain(number: float) -> float:
    """Without the last bits of floating point: 3.0000000000000004 pods are three."""
    return round(number, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The most that may change within a period: a number of pods, or a percentage of them."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of ``behavior``. Of several policies the one that allows most holds."""

    window_s: float
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """The values of a HorizontalPodAutoscaler.

    Attributes:
        targets: target average of each metric, by name; the metric that asks for most wins.
    """

    least: int
    most: int
    targets: Mapping[str, float]
    up: Direction
    down: Direction


@dataclass(slots=True, kw_only=True)
class State:
    """The controller's memory: recommendations, and the changes that it made."""

    recommended: deque[tuple[float, int]] = field(default_factory=deque)
    changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, scaler: Scaler, now: float, current: int, wanted: int) -> int:
        """Replicas to have from now on: stabilised, within policies, within bounds.

        Args:
            now: seconds; never less than in the call before.
            wanted: what the metrics ask for.
        """
        self.recommended.append((now, wanted))
        longest = max(scaler.up.window_s, scaler.down.window_s)
        while self.recommended[0][0] < now - longest:
            self.recommended.popleft()
        low = min(self._since(now - scaler.up.window_s))
        high = max(self._since(now - scaler.down.window_s))
        # Up to the least that was asked for lately, down to the most.
        stable = low if current < low else min(current, high)
        bounded = min(max(stable, scaler.least), scaler.most)
        decided = self._within(scaler, now, current, bounded)
        if decided != current:
            self.changes.append((now, decided - current))
        return decided

    def _since(self, start: float) -> list[int]:
        return [count for at, count in self.recommended if at >= start]

    def _within(self, scaler: Scaler, now: float, current: int, wanted: int) -> int:
        is_up = wanted > current
        limits = []
        for policy in (scaler.up if is_up else scaler.down).policies:
            changes = (change for at, change in self.changes if at > now - policy.period_s)
            before = current - sum(changes)  # when the period began
            sign = 1 if is_up else -1
            if policy.kind == "Pods":
                limits.append(before + sign * policy.value)
            elif is_up:
                limits.append(math.ceil(_plain(before * (1 + policy.value / 100))))
            else:
                limits.append(math.floor(_plain(before * (1 - policy.value / 100))))
        if not limits or wanted == current:
            return wanted
        if is_up:
            return max(current, min(wanted, max(limits)))
        return min(current, max(wanted, min(limits)))
