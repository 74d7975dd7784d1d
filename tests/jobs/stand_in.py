"""A problem that solves in no time, or never: for tests of what surrounds a problem.

``install(problem)`` puts it in the place of ``blpdask.api.problem``; run as a script,
this file is the command line with a problem that goes on until it is interrupted.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from blpdask.errors import NumericalError
from blpdask.progress import EvaluationEvent, StepEvent


class StandInResults:
    """Results with what the jobs floor reads of results."""

    step = 2
    objective = 4.5
    projected_gradient_norm = np.array(1e-9)
    theta = np.array([[0.25], [-1.5]])
    theta_labels = ("one", "two")
    cumulative_optimization_iterations = 3
    cumulative_objective_evaluations = 4
    cumulative_contraction_evaluations = np.full((2, 4), 5)
    contraction_evaluations = np.full((2, 4), 5)
    hansen_degrees = 3
    hansen_p_value = 0.2123

    def __init__(self, converged: bool) -> None:
        self.converged = self.cumulative_converged = converged

    def run_hansen_test(self) -> float:
        return 4.5

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"row": ["one", "two"], "estimate": [0.25, -1.5]})

    def save(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "estimates.json").write_text("{}")

    def __str__(self) -> str:
        return "TABLE OF RESULTS"


class StandInProblem:
    """A problem that emits events and ends as it is told."""

    ending = "converged"
    K1, K2, K3, D = 2, 0, 0, 0

    def __init__(self, product_formulations: Any, product_data: Any, **kwargs: Any):
        self.formulations = product_formulations
        self.data = product_data
        self.kwargs = kwargs

    def __str__(self) -> str:
        return f"DIMENSIONS N={len(self.data)}"

    def solve(
        self, *, progress: Callable[[Any], None], **arguments: Any
    ) -> StandInResults:
        self.arguments = arguments
        progress(StepEvent(1, "begins"))
        number = 0
        while number < 4 or self.ending == "never":
            number += 1
            gradient = np.nan if number == 1 else 1.0 / number
            progress(
                EvaluationEvent(
                    1,
                    0,
                    number,
                    number,
                    10.0 / number,
                    gradient,
                    True,
                    0.01,
                    20,
                    0,
                    (1.0,),
                )
            )
            if self.ending == "never":
                time.sleep(0.02)
        if self.ending == "fails":
            raise NumericalError("every market failed")
        return StandInResults(self.ending == "converged")


def module(ending: str = "converged") -> types.ModuleType:
    """Make a module that stands in for blpdask.api.problem."""
    stand_in = types.ModuleType("blpdask.api.problem")
    stand_in.Problem = type("Problem", (StandInProblem,), {"ending": ending})  # type: ignore[attr-defined]
    return stand_in


if __name__ == "__main__":
    sys.modules["blpdask.api.problem"] = module("never")
    from blpdask.cli import main

    main()
