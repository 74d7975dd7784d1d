"""What an optimiser that knows only a function of θ does, counted and remembered.

Methods from elsewhere ask for objectives and gradients and say when a major iteration
ends. The recorder counts both and tells the estimator which evaluation is accepted: the
first finite one, then at the end of each major iteration the lowest so far, if it has
not been accepted yet. The rule looks at nothing but the sequence of evaluations.
"""

from __future__ import annotations

import numpy as np

from ...records import Floats
from .protocol import Evaluation, Objective


class Recorder:
    """An objective that counts its evaluations and its caller's iterations."""

    def __init__(self, objective: Objective, *, derivatives: bool) -> None:
        """Wrap ``objective``, which is asked for derivatives or never is."""
        self.iterations = 0
        self.evaluations = 0
        self._objective = objective
        self._derivatives = derivatives
        self._last: Evaluation | None = None
        self._best: Evaluation | None = None
        self._accepted: Evaluation | None = None

    def evaluate(self, theta: Floats) -> Evaluation:
        """Evaluate at ``theta`` ``(P,)``, once where it is asked for twice in a row."""
        if self._last is not None and np.array_equal(theta, self._last.theta):
            return self._last
        return self.evaluate_anew(theta)

    def evaluate_anew(self, theta: Floats) -> Evaluation:
        """Evaluate at ``theta`` ``(P,)`` and remember the lowest objective."""
        self.evaluations += 1
        asked = np.array(theta, dtype=np.float64)
        self._last = self._objective(asked, derivatives=self._derivatives)
        if self._last.finite:
            if self._best is None:
                self._best = self._last
                self._accept_best()
            elif self._last.objective < self._best.objective:
                self._best = self._last
        return self._last

    def end_iteration(self) -> None:
        """Count a major iteration and accept the lowest evaluation so far."""
        self.iterations += 1
        self._accept_best()

    def _accept_best(self) -> None:
        """Accept the lowest evaluation unless it was the last one accepted."""
        if self._best is not None and self._best is not self._accepted:
            self._accepted = self._best
            self._objective.accept(self._best)
