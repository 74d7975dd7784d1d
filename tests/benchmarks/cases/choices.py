"""Mixed logit of electricity's suppliers, six normal coefficients, beside xlogit.

Log-likelihood and gradient at values a little apart, with the same draws; memory above
what ten draws take, in a process of its own; and whole estimations, standard errors
included: xlogit's with 1,500 Halton draws, blpdask's as it comes and with the same
draws. What estimates are worth is their exact log-likelihood, here that of 1,024
Laplace-centred draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..measure import Settings, run_child
from ..packages import FACTORS, load
from ..table import Row, time_rows
from ..xlogit_choices import (
    COLUMNS,
    PEERS,
    THETA,
    draw_people,
    estimate,
    evaluate,
    read_electricity,
)

DRAWS, MANY = (500, 1500), 1500


def run(case: str, settings: Settings) -> list[Row]:
    """Evaluate and estimate with both."""
    table = draw_people(40, 6) if settings.quick else read_electricity()
    sizes = (20, 40) if settings.quick else DRAWS
    rows: list[Row] = []
    for R in sizes:
        rows += _evaluations(case, table, R, settings)
    for R in sizes:
        rows += _memory(case, R, settings)
    return rows + _estimations(case, table, sizes[-1], settings)


def _evaluations(case: str, table: Any, R: int, settings: Settings) -> list[Row]:
    """Time log-likelihood and gradient at θ a little apart."""
    settings.say(f"  {R} draws")
    thetas = np.outer(FACTORS[: 1 if settings.quick else 8], THETA)
    for peer in PEERS:
        evaluate(peer, table, R, thetas[:1])  # warms
    theirs, ours = (evaluate(peer, table, R, thetas) for peer in PEERS)
    people = table["person_ids"].nunique()  # of each, the average is minimised here
    gap = np.linalg.norm(theirs.gradients - people * ours.gradients)
    note = f"gradients {gap / np.linalg.norm(theirs.gradients):.0e} apart"
    times = theirs.spans, ours.spans
    unit = {"scale": 1e3, "unit": "ms", "note": note}
    return [
        *time_rows(case, f"LL and gradient, {R} draws", *times, **unit),  # type: ignore[arg-type]
        Row(
            case,
            f"-LL, {R} draws",
            "",
            (float(theirs.objectives[0]),),
            (float(people * ours.objectives[0]),),
            comparison="apart",
            digits=12,
        ),
    ]


def _memory(case: str, R: int, settings: Settings) -> list[Row]:
    """Measure memory above that of ten draws."""
    found = {
        peer: run_child("xlogit", {"peer": peer, "R": R, "quick": settings.quick})[1]
        for peer in PEERS
    }
    return [
        Row(
            case,
            f"{measure}, {R} draws",
            "MiB",
            (found["xlogit"][key],),
            (found["blpdask"][key],),
            digits=3,
        )
        for measure, key in (
            ("memory above that of ten draws", "above"),
            ("peak of memory", "peak"),
        )
    ]


def _estimations(case: str, table: Any, R: int, settings: Settings) -> list[Row]:
    """Estimate, and compare exact log-likelihoods at the estimates."""
    settings.say("  whole estimations")
    if not settings.quick:
        estimate("blpdask", table, None)  # warms
    theirs, their_theta = estimate("xlogit", table, R)
    ours, theta = estimate("blpdask", table, None)
    same, same_theta = estimate("blpdask", table, R)
    exact = [
        _exact(table, at, settings.quick) for at in (their_theta, theta, same_theta)
    ]
    return [
        *time_rows(
            case,
            f"estimation, {R} draws and blpdask's default",
            (theirs,),
            (ours,),
            note=f"exact LL {exact[0]:.3f} and {exact[1]:.3f}",
        ),
        *time_rows(
            case,
            f"estimation, {R} draws both",
            (theirs,),
            (same,),
            note=f"exact LL {exact[0]:.3f} and {exact[2]:.3f}",
        ),
    ]


def _exact(table: Any, theta: Any, quick: bool) -> float:
    """Compute the log-likelihood at θ with many Laplace-centred draws."""
    module = load("blpdask")
    problem = module.ChoiceProblem(
        module.Formulation(f"0 + {' + '.join(COLUMNS)}"),
        table,
        random=dict.fromkeys(COLUMNS, "normal"),
        integration=module.Integration("laplace", 64 if quick else 1024, {"seed": 7}),
    )
    stay = module.Optimization("return")
    return float(problem.solve(theta, optimization=stay).log_likelihood)
