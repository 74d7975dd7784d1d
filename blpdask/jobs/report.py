"""Sum up what a run found: in a few lines for people, as JSON for programs.

Hansen's (1982) J is the objective at the optimum of a step whose weighting matrix is
efficient; where the model is right it is chi-squared with as many degrees of freedom as
there are moments beyond parameters.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .listeners import read_evaluations
from .questions import show_answers
from .run_directory import ESTIMATES, EVALUATIONS, RESOLVED, RESULTS, SUMMARY

if TYPE_CHECKING:
    from ..api.results import ProblemResults
    from .schema import Job

_LABELS = ("matrix", "row", "column", "kind")


def summarise(
    job: Job, results: ProblemResults, seconds: float, replayed: int = 0
) -> dict[str, Any]:
    """Sum up results in numbers that JSON can say.

    Parameters
    ----------
    job
        The job.
    results
        Its results.
    seconds
        Wall time of the estimation, of its last part where it was resumed.
    replayed
        How many evaluations came before that part.
    """
    import numpy as np

    summary = {
        "name": job.name,
        "method": job.solve.method,
        "step": results.step,
        "converged": bool(results.cumulative_converged),
        "objective": results.objective,
        "projected_gradient_norm": results.projected_gradient_norm,
        "hansen": _hansen(results),
        "theta_labels": list(results.theta_labels),
        "theta": np.ravel(results.theta).tolist(),
        "optimization_iterations": results.cumulative_optimization_iterations,
        "objective_evaluations": results.cumulative_objective_evaluations,
        "share_maps": np.sum(results.cumulative_contraction_evaluations),
        "seconds": seconds,
        "replayed_evaluations": replayed,
    }
    return {name: _plain(value) for name, value in summary.items()}


def hansen_sentence(summary: dict[str, Any]) -> str:
    """Say what Hansen's J says.

    Parameters
    ----------
    summary
        What :func:`summarise` gave.
    """
    hansen = summary["hansen"]
    if hansen["degrees"] == 0:
        return "Hansen's J: exactly identified, there is nothing to test."
    text = f"Hansen's J: {hansen['J']:.6g}, {hansen['degrees']} degrees of freedom"
    if hansen["p_value"] is None:
        return f"{text}; no p-value."
    text = f"{text}, p-value {hansen['p_value']:.4g}."
    if summary["step"] == 1:
        text += " (First-step weights: the p-value holds only if they are efficient.)"
    return text


def show_run(directory: Path, form: str) -> str:
    """Write the results of a run as a table, as JSON or as CSV.

    Parameters
    ----------
    directory
        Output directory of a run.
    form
        ``"table"``, ``"json"`` or ``"csv"``.

    Raises
    ------
    blpdask.errors.InputError
        If the directory holds no complete run.
    """
    _check_complete(directory)
    if form == "csv":
        return (directory / ESTIMATES).read_text(encoding="utf-8").rstrip("\n")
    summary = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
    if form == "json":
        return json.dumps(summary | {"estimates": _estimates(directory)}, indent=2)
    from .kinds import kind_named

    kind = kind_named(summary.get("kind"))
    shown = str(kind.read_results(directory / RESULTS)), kind.conclude(summary)
    return "\n\n".join(filter(None, shown)) + show_answers(directory)


def _hansen(results: ProblemResults) -> dict[str, Any]:
    """Give Hansen's J with its degrees of freedom and p-value."""
    return {
        "J": _plain(results.run_hansen_test()),
        "degrees": _plain(results.hansen_degrees),
        "p_value": _plain(results.hansen_p_value),
    }


def _estimates(directory: Path) -> list[dict[str, Any]]:
    """Read the estimates of a run, a row per parameter."""
    import csv

    with (directory / ESTIMATES).open(encoding="utf-8", newline="") as file:
        return [
            {n: text if n in _LABELS else _number(text) for n, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float | None:
    """Read a number of a CSV file, where nothing stands for NaN."""
    return float(text) if text else None


def _check_complete(directory: Path) -> None:
    """Refuse a directory that is not there, not a run's, or that of a run cut short."""
    faults = Faults(str(directory))
    if not directory.is_dir():
        faults.add(
            "no such directory",
            "the output directory of a run",
            "check the path; 'blpdask run' prints it at its end",
        )
    elif not (directory / RESOLVED).is_file():
        faults.add(
            f"no {RESOLVED} in it",
            "the output directory of a run",
            "check the path; by default runs write to results/<name of the job>",
        )
    elif not (directory / RESULTS).is_dir():
        evaluations = read_evaluations(directory / EVALUATIONS)
        faults.add(
            f"a run that did not finish, with {len(evaluations)} evaluations",
            "a run that did",
            f"go on with it: blpdask resume {directory}",
        )
    faults.check()


def _plain(value: Any) -> Any:
    """Turn scalars of arrays into numbers, and what JSON cannot say into null."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
