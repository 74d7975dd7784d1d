"""How long it takes to estimate large markets, from half of the true σ.

PyBLP minimises by BFGS until the gradient's largest element is 1e-5, as its
documentation does. blpdask minimises by its default. Neither computes the Hessian.
"""

from __future__ import annotations

from ..measure import Settings
from ..packages import PACKAGES, Package, Solution, build_problem, solve
from ..problems import simulate
from ..table import Row
from .evaluation import LARGE, QUICK
from .nevo_solve import solution_rows


def run(case: str, settings: Settings) -> list[Row]:
    """Time ``problem.solve()``."""
    size = QUICK if settings.quick else LARGE
    settings.say(f"  simulating {size}")
    data = simulate(size)
    small = simulate(QUICK)
    solve("blpdask", build_problem("blpdask", small), small, hessian=False)  # compiles
    problems = {package: build_problem(package, data) for package in PACKAGES}
    found: dict[Package, list[Solution]] = {package: [] for package in PACKAGES}
    for _ in settings.repeats(1):
        for package in reversed(PACKAGES):
            settings.say(f"  {package}")
            solution = solve(package, problems[package], data, hessian=False)
            found[package].append(solution)
    return solution_rows(case, found, f"{size}, no Hessian")
