"""The share of a training run that is over, and the learning rate that follows from it."""

from __future__ import annotations

from dataclasses import dataclass

WARMUP_STEPS = 60
START_SHARE = 0.10
LATE_FROM = 0.53
LAST_FROM = 0.84


@dataclass(frozen=True)
class Budget:
    """The end of a run: a number of steps, or else minutes of training time."""

    minutes: float
    steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """The part of the run that is over, 0 to 1; `seconds` counts training time alone."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, seconds / (60 * self.minutes))


def rate(step: int, progress: float, hold: float = 0.35) -> float:
    """The factor on every learning rate: warm up, hold, then fall in a line to zero."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * min(1.0, max(0.0, (1.0 - progress) / (1.0 - hold)))


def mix_at(progress: float) -> str:
    """Sums and copying come first: they are the slowest to be learned. Long talks come
    late, and last a mix that brings the product facts back to the fore.
    """
    if progress < START_SHARE:
        return "start"
    if progress < LATE_FROM:
        return "main"
    return "late" if progress < LAST_FROM else "last"
