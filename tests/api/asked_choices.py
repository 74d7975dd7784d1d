"""People who were estimated, for questions about them, and slow answers to these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

import blpdask
from blpdask.api.choice_results import ChoiceResults
from blpdask.records import Floats

SERIAL: dict[str, Any] = {"engine": "serial"}


def draw_choices(n_people: int = 24, seed: int = 3) -> pd.DataFrame:
    """Simulate people with one to four situations, of two to four alternatives each.

    Rows are in no order, some alternatives are not available, and one situation of the
    last person has a single one.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_people):
        for t in range(1 + i % 4):
            names = rng.permutation(["bus", "car", "train", "walk"])
            available = np.append(np.ones(2, int), rng.integers(0, 2, 2))
            if i == n_people - 1 and t == 0:
                available = np.array([1, 0, 0, 0])
            prices, quality = rng.uniform(0.5, 3.0, 4), rng.normal(size=4)
            V = -prices + (0.5 + rng.normal()) * quality + rng.gumbel(size=4)
            chosen = np.argmax(np.where(available == 1, V, -np.inf))
            for j in range(4):
                row = (i, t, names[j], available[j], prices[j], quality[j])
                rows.append((*row, 1.0 + i % 3, int(j == chosen)))
    frame = pd.DataFrame(
        rows,
        columns=[
            *("person_ids", "situation_ids", "alternative_ids", "availability"),
            *("prices", "quality", "weights", "chosen"),
        ],
    )
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


def estimated(
    formula: str,
    random: dict[str, str] | None,
    theta: Any,
    data: pd.DataFrame,
    size: int = 16,
    **arguments: Any,
) -> ChoiceResults:
    """Give results whose parameters are ``theta``."""
    integration = blpdask.Integration("sobol", size, {"seed": 1}) if random else None
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(formula), data, random, integration, **arguments
    )
    zero = np.zeros(problem.coefficients.size)
    found = problem.solve(
        zero,
        optimization=blpdask.Optimization("return"),
        engine="serial",
        backend="numpy",
        se_type="bhhh",
    )
    return ChoiceResults(
        replace(found.estimates, theta=np.asarray(theta, np.float64)), problem=problem
    )


def plain_draws(
    results: ChoiceResults, beta_of: Any, conditional: bool
) -> list[tuple[Floats, Floats]]:
    """Give coefficients ``(R, K)`` and weights ``(R,)`` of each person.

    ``beta_of`` makes coefficients ``(R, K)`` of draws ``(R, D)``.
    """
    table, found = results.problem.table, []
    blocks = [
        results.problem.source.load(b) for b in range(len(results.problem.source))
    ]
    draws = np.concatenate([block.draws for block in blocks])
    for i, z in enumerate(draws):
        beta = beta_of(z)
        logs = np.zeros(len(z))
        for s in range(*table.person_offsets[i : i + 2] if conditional else (0, 0)):
            rows = slice(*table.situation_offsets[s : s + 2])
            V = table.X[rows] @ beta.T
            logs += V[table.chosen[s] - rows.start] - logsumexp(V, axis=0)
        found.append((beta, softmax(logs)))
    return found


def plain_probabilities(
    draws: list[tuple[Floats, Floats]], data: pd.DataFrame, X: Floats, people: Any
) -> Floats:
    """Compute P of every row by the formula, one situation after another."""
    found = np.zeros(len(data))
    places = {person: i for i, person in enumerate(people)}
    groups = data[data["availability"] == 1].groupby(["person_ids", "situation_ids"])
    for (person, _), own in groups:
        rows = own.index.to_numpy()
        beta, weights = draws[places[person]]
        found[rows] = softmax(X[rows] @ beta.T, axis=0) @ weights
    return found
