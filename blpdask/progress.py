"""What a long computation says of itself: a stream of frozen events.

An estimator calls a listener with an event an evaluation and an event a step; who
listens prints, draws or records. Kernels and passes say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvaluationEvent:
    """One evaluation of the objective.

    Attributes
    ----------
    step
        GMM step, from 1; 0 is an initial update.
    start
        Number of the starting point, from 0.
    number
        Number of the evaluation within the step, from 1.
    iterations
        Steps that the optimiser has accepted.
    objective, gradient_norm
        q(θ) and the sup norm of its projected gradient (NaN where not computed).
    best
        Whether no earlier evaluation of the step was lower.
    seconds
        Wall time of the evaluation.
    share_maps
        Share maps computed, all markets together.
    markets_failed
        Markets whose inversion did not converge.
    theta
        Where the objective was evaluated.
    """

    step: int
    start: int
    number: int
    iterations: int
    objective: float
    gradient_norm: float
    best: bool
    seconds: float
    share_maps: int
    markets_failed: int
    theta: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A sentence about where the computation is."""

    step: int
    message: str


@dataclass(frozen=True, slots=True)
class BlocksEvent:
    """How far a long pass over the blocks has come.

    Attributes
    ----------
    done, total
        Blocks worked on, and all of them.
    seconds
        Since the pass began.
    unit
        What is counted, where it is not blocks.
    """

    done: int
    total: int
    seconds: float
    unit: str = "block"


Event = EvaluationEvent | StepEvent | BlocksEvent
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
    del event
