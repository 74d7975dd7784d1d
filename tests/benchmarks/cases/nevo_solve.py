"""How long Nevo's (2000) problem takes, as either package's user would write it.

PyBLP as its documentation has it: BFGS until the gradient's largest element is 1e-5.
blpdask by its defaults, which ask for 1e-8. Both compute the Hessian at the end.
"""

from __future__ import annotations

from ..measure import Settings
from ..packages import PACKAGES, Package, Solution, build_problem, solve
from ..problems import nevo
from ..table import Row, time_rows


def run(case: str, settings: Settings) -> list[Row]:
    """Time ``problem.solve()``."""
    data = nevo()
    problems = {package: build_problem(package, data) for package in PACKAGES}
    solve("blpdask", problems["blpdask"], data, hessian=False)  # compiles
    found: dict[Package, list[Solution]] = {package: [] for package in PACKAGES}
    for _ in settings.repeats(3):
        for package in PACKAGES:
            hessian = not settings.quick
            found[package].append(
                solve(package, problems[package], data, hessian=hessian)
            )
    note = "no Hessian" if settings.quick else "Hessian included"
    return solution_rows(case, found, note)


def solution_rows(
    case: str, found: dict[Package, list[Solution]], note: str
) -> list[Row]:
    """Make the rows of an estimation."""
    theirs, ours = found["pyblp"], found["blpdask"]
    return [
        *time_rows(
            case, "solve", [s.span for s in theirs], [s.span for s in ours], note=note
        ),
        Row(
            case,
            "optimiser, wall",
            "s",
            tuple(s.optimization.wall for s in theirs),
            tuple(s.optimization.wall for s in ours),
        ),
        Row(
            case,
            "evaluations by the optimiser",
            "",
            tuple(float(s.evaluations) for s in theirs),
            tuple(float(s.evaluations) for s in ours),
        ),
        Row(
            case,
            "optimiser an evaluation, wall",
            "ms",
            tuple(1e3 * s.optimization.wall / s.evaluations for s in theirs),
            tuple(1e3 * s.optimization.wall / s.evaluations for s in ours),
        ),
        Row(
            case,
            "objective at the estimate",
            "",
            tuple(s.objective for s in theirs),
            tuple(s.objective for s in ours),
            comparison="apart",
            digits=10,
        ),
    ]
