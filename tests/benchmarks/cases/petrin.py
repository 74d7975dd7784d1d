"""How long an evaluation of Petrin's (2002) problem takes, and how much memory.

Objective and gradient of demand, supply and ten micro moments at values a little apart,
as late in an estimation; W is that of an update at the starting values, the same for
both. PyBLP inverts to 1e-13, as its documentation does, for it does not reach 1e-14
here and would go on to its limit. Memory is that of a process of its own, above what it
holds once the same was done with two years and ten agents each: imports, and loops that
were compiled before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measure import Settings, run_child
from ..packages import FACTORS, PACKAGES, load
from ..petrin import build_minivans, declare_survey, evaluate_minivans, starting_point
from ..table import Row, time_rows


def run(case: str, settings: Settings) -> list[Row]:
    """Evaluate with both packages."""
    problems = {package: build_minivans(package) for package in PACKAGES}
    W = _weights(problems["blpdask"])
    paths: dict[str, Any] = {}
    for package in PACKAGES:
        settings.say(f"  {package}")
        n = (3 if package == "pyblp" else 10) if not settings.quick else 1
        evaluate_minivans(package, problems[package], (1.0,), W)  # warms
        paths[package] = evaluate_minivans(package, problems[package], FACTORS[:n], W)
    theirs, ours = paths["pyblp"], paths["blpdask"]
    found = {
        package: [run_child("petrin", {"package": package})[1]] for package in PACKAGES
    }
    n = len(theirs.objectives)
    gap = np.linalg.norm(theirs.gradients - ours.gradients[:n])
    return [
        *time_rows(
            case,
            "objective and gradient",
            theirs.spans,
            ours.spans,
            scale=1e3,
            unit="ms",
            note=f"gradients {gap / np.linalg.norm(theirs.gradients):.0e} apart",
        ),
        *(
            Row(
                case,
                measure,
                "MiB",
                tuple(one[key] for one in found["pyblp"]),
                tuple(one[key] for one in found["blpdask"]),
                digits=3,
            )
            for measure, key in (
                ("peak of memory above that of little data", "above"),
                ("peak of memory", "peak"),
            )
        ),
        Row(
            case,
            "objective",
            "",
            (float(theirs.objectives[0]),),
            (float(ours.objectives[0]),),
            comparison="apart",
            digits=10,
        ),
    ]


def _weights(problem: Any) -> Any:
    """Update W at the starting values."""
    module = load("blpdask")
    sigma, pi = starting_point()
    return problem.solve(
        sigma,
        pi,
        method="1s",
        engine="serial",
        optimization=module.Optimization("return"),
        check_optimality="gradient",
        micro_moments=declare_survey("blpdask"),
    ).W
