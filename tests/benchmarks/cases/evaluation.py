"""How long one evaluation of the objective and its gradient takes.

Three ways to start inversions are told apart. From logit: both from the plain logit's
δ, as PyBLP always does. Near the last: blpdask from its prediction, at θ within 1.5 %
of one another, PyBLP as before. In a solve: at the θ that blpdask's optimiser asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from blpdask.records import Floats

from ..measure import Settings, Span, mean_span
from ..packages import (
    FACTORS,
    PACKAGES,
    Package,
    Path,
    build_problem,
    evaluate_path,
    solve,
    starting_values,
)
from ..problems import Data, Size, nevo, simulate
from ..table import Row, time_rows

MANY = Size(T=20_000, J=5, I=50, K2=2)
LARGE = Size(T=1_000, J=50, I=1_000, K2=3)
QUICK = Size(T=20, J=5, I=20, K2=2)
#: PyBLP evaluates at no more than so many of the θ that blpdask's optimiser asked for.
AT_MOST = 5

Problems = dict[Package, Any]


def run_nevo(case: str, settings: Settings) -> list[Row]:
    """Time evaluations of Nevo's problem."""
    data = nevo()
    count = 2 if settings.quick else len(FACTORS)
    return _evaluation_rows(case, settings, data, _build(data), count, repeats=5)


def run_many(case: str, settings: Settings) -> list[Row]:
    """Time evaluations of many small markets."""
    size = QUICK if settings.quick else MANY
    settings.say(f"  simulating {size}")
    data = simulate(size)
    return _evaluation_rows(case, settings, data, _build(data), 2, repeats=3)


def run_large(case: str, settings: Settings) -> list[Row]:
    """Time evaluations of large markets, on their own and within a solve."""
    size = QUICK if settings.quick else LARGE
    settings.say(f"  simulating {size}")
    data = simulate(size)
    problems = _build(data)
    rows = _evaluation_rows(case, settings, data, problems, 3, repeats=3)
    return rows + _solve_rows(case, settings, data, problems)


def _build(data: Data) -> Problems:
    """Build the problem in both packages, and let blpdask compile."""
    problems: Problems = {package: build_problem(package, data) for package in PACKAGES}
    thetas = starting_values(data)[None, :]
    evaluate_path("blpdask", problems["blpdask"], data, np.repeat(thetas, 2, axis=0))
    return problems


def _evaluation_rows(
    case: str,
    settings: Settings,
    data: Data,
    problems: Problems,
    count: int,
    repeats: int,
) -> list[Row]:
    """Time ``count`` evaluations a repeat, from logit and near the last."""
    thetas = np.outer(FACTORS[:count], starting_values(data))
    theirs: list[Path] = []
    cold: list[Path] = []
    near: list[Path] = []
    for _ in settings.repeats(repeats):
        theirs.append(evaluate_path("pyblp", problems["pyblp"], data, thetas))
        ours = problems["blpdask"]
        cold.append(evaluate_path("blpdask", ours, data, thetas, cold=True))
        near.append(evaluate_path("blpdask", ours, data, thetas))
    usual = [mean_span(path.spans) for path in theirs]
    later = [mean_span(path.spans[1:]) for path in near]
    return [
        *_time_rows(
            case, "from logit", usual, [mean_span(path.spans) for path in cold]
        ),
        *_time_rows(case, "near the last", usual, later),
        *_agreement_rows(case, theirs[0], near[0]),
    ]


def _solve_rows(
    case: str, settings: Settings, data: Data, problems: Problems
) -> list[Row]:
    """Time evaluations where an optimiser asks for them."""
    theirs: list[Span] = []
    ours: list[Span] = []
    for _ in settings.repeats(1):
        solution = solve("blpdask", problems["blpdask"], data, hessian=False)
        ours.append(solution.optimization / solution.evaluations)
        last = solution.evaluations - 1
        asked = np.unique(np.linspace(0, last, AT_MOST).astype(int))
        path = evaluate_path("pyblp", problems["pyblp"], data, solution.thetas[asked])
        theirs.append(mean_span(path.spans))
    apart = _apart(path.objectives, solution.objectives[asked])
    note = f"{solution.evaluations} evaluations; PyBLP at {asked.size} of their θ"
    agreement = Row(
        case,
        "objectives in a solve, largest difference",
        "relative",
        blpdask=(apart,),
        digits=2,
    )
    return [*_time_rows(case, "in a solve", theirs, ours, note=note), agreement]


def _time_rows(
    case: str, measure: str, theirs: list[Span], ours: list[Span], note: str = ""
) -> list[Row]:
    measure = f"evaluation {measure}"
    return time_rows(case, measure, theirs, ours, scale=1e3, unit="ms", note=note)


def _agreement_rows(case: str, theirs: Path, ours: Path) -> list[Row]:
    """Compare objectives and gradients at the same θ."""
    apart = np.linalg.norm(theirs.gradients - ours.gradients, axis=1)
    gradient = float((apart / np.linalg.norm(theirs.gradients, axis=1)).max())
    return [
        Row(
            case,
            "objective at the first θ",
            "",
            (float(theirs.objectives[0]),),
            (float(ours.objectives[0]),),
            comparison="apart",
            digits=10,
        ),
        Row(
            case,
            "objectives, largest difference",
            "relative",
            blpdask=(_apart(theirs.objectives, ours.objectives),),
            digits=2,
        ),
        Row(
            case,
            "gradients, largest difference in norm",
            "relative",
            blpdask=(gradient,),
            digits=2,
        ),
    ]


def _apart(theirs: Floats, ours: Floats) -> float:
    return float(np.abs(ours / theirs - 1).max())
